"""A real browser, and a whole studio, for the tests that need one."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

REPOSITORY = Path(__file__).parents[2]
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_GRADIO_S_OWN = (
    "status of 422",  # how Gradio answers when a validator refuses an input
    "signal is aborted",  # its event stream when a page is left
    "Connection errored out",  # a poll that was under way when its page was left
)
_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start the system's Chromium; without one the test is skipped, except in CI, where that is a failure."""
    executable = next(filter(None, map(shutil.which, _NAMES)), None)
    if executable is None:
        missing = "Chromium is not installed"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=_ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Open an empty page; whatever it writes to the console as an error fails the test."""
    opened = browser.new_page(viewport={"width": 1440, "height": 900})
    problems: list[str] = []
    opened.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: problems.append(str(error)))
    yield opened
    opened.close()
    assert [problem for problem in problems if not any(own in problem for own in _GRADIO_S_OWN)] == []


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studio home")


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    """Start the studio as `make studio` does, and end it with Ctrl-C."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    with (home / "console").open("wb") as console:
        studio = subprocess.Popen(
            [sys.executable, "-m", "worker.supervise"],
            cwd=REPOSITORY,
            env=os.environ | {"STUDIO_HOME": str(home), "PORT": port},
            stdout=console,
            stderr=subprocess.STDOUT,
        )
    deadline = time.monotonic() + 60
    while "is ready" not in (home / "console").read_text():
        assert time.monotonic() < deadline, (home / "console").read_text()
        time.sleep(0.1)
    yield f"http://127.0.0.1:{port}"
    studio.send_signal(signal.SIGINT)
    assert studio.wait(timeout=30) == 0
    assert "Traceback" not in (home / "console").read_text()
