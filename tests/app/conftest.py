"""A real browser for the tests that need one."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

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
