"""Starting and ending everything that the Procfile names, as a person at a terminal does."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

REPOSITORY = Path(__file__).parents[2]
PATIENCE_SECONDS = 40


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def studio(studio_home: Path, port: int, tmp_path: Path) -> Iterator[subprocess.Popen]:
    """The supervisor with its children, its output in `tmp_path / "output"`."""
    with (tmp_path / "output").open("wb") as output:
        started = subprocess.Popen(
            [sys.executable, "-m", "worker.supervise"],
            cwd=REPOSITORY,
            env=os.environ | {"PORT": str(port)},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    yield started
    started.kill()
    started.wait()


def alive(home: Path) -> list[str]:
    """List the processes that carry this home in their environment, zombies left out."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            mine = f"STUDIO_HOME={home}".encode() in (process / "environ").read_bytes().split(b"\0")
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if mine and command and int(process.name) != os.getpid():
            found.append(command)
    return found


def wait_until(holds) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.05)


def wait_until_gone(home: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while alive(home) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert alive(home) == []


def test_one_line_tells_the_address_once_the_page_answers_and_ctrl_c_ends_all(studio, studio_home, port, tmp_path):
    wait_until(lambda: "is ready" in (tmp_path / "output").read_text())
    (line,) = (line for line in (tmp_path / "output").read_text().splitlines() if "http" in line)
    assert line.endswith(f"FastVideo Studio is ready: http://127.0.0.1:{port}")
    assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 200
    assert any("-m app" in command for command in alive(studio_home))
    studio.send_signal(signal.SIGINT)
    assert studio.wait(timeout=20) == 0
    wait_until_gone(studio_home)
    assert "Traceback" not in (tmp_path / "output").read_text()


@pytest.mark.parametrize("seconds", [0.3, 0.6, 1.0, 2.0])
def test_ctrl_c_during_the_start_leaves_nothing_running(studio, studio_home, seconds):
    time.sleep(seconds)
    studio.send_signal(signal.SIGINT)
    studio.wait(timeout=20)
    wait_until_gone(studio_home)


def test_ctrl_c_pressed_twice_leaves_nothing_running(studio, studio_home, tmp_path):
    wait_until(lambda: "is ready" in (tmp_path / "output").read_text())
    studio.send_signal(signal.SIGINT)
    time.sleep(0.1)
    studio.send_signal(signal.SIGINT)
    studio.wait(timeout=5)
    wait_until_gone(studio_home)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_of_signals_that_a_shell_had_ignored_only_the_hang_up_stays_ignored(studio_home, port, number):
    was = signal.signal(number, signal.SIG_IGN)
    try:
        started = subprocess.Popen(
            [sys.executable, "-m", "worker.supervise"], cwd=REPOSITORY, env=os.environ | {"PORT": str(port)}
        )
    finally:
        signal.signal(number, was)
    wait_until(lambda: any("-m app" in command for command in alive(studio_home)))
    started.send_signal(number)
    if number == signal.SIGHUP:
        time.sleep(1)
        assert started.poll() is None
        started.terminate()
    assert started.wait(timeout=20) == 0
    wait_until_gone(studio_home)


def test_a_killed_supervisor_leaves_nothing_running(studio, studio_home, tmp_path):
    wait_until(lambda: "is ready" in (tmp_path / "output").read_text())
    studio.kill()
    wait_until_gone(studio_home)


def test_a_taken_port_is_said_with_the_cure(studio_home, port):
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        told = subprocess.run(
            [sys.executable, "-m", "worker.supervise"],
            cwd=REPOSITORY,
            env=os.environ | {"PORT": str(port)},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert told.returncode == 1
    assert re.search(rf"Port {port} on 127.0.0.1 cannot be used .*make studio PORT={port + 1}", told.stdout)
    assert "Traceback" not in told.stdout
    assert alive(studio_home) == []
