"""Start what the Procfile names, show its output line by line, and leave nothing running at the end.

Of the libraries that do this, honcho breaks when Ctrl-C comes before its children have started (a KeyError leaves
them running) and does not end sooner when it is pressed twice; both are promised here.
"""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from worker import settings
from worker.offspring import END_WITH_PARENT

PROCFILE = Path(__file__).parents[1] / "Procfile"
SECONDS_TO_LEAVE = 10
_ASKED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Supervisor:
    """Children of one Procfile: when one ends, or a signal asks, all end."""

    def __init__(self) -> None:
        self._children: dict[str, subprocess.Popen[str]] = {}
        self._times_asked = 0
        self._printing = threading.Lock()

    def run(self, commands: dict[str, list[str]]) -> int:
        """Start the commands and return the exit code of the first that ends, 0 after Ctrl-C."""
        for number in _ASKED:
            # nohup has SIGHUP ignored, and means it. A shell that starts something behind `&` has SIGINT ignored too,
            # but whoever sends that afterwards means the studio.
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)
        printers = []
        for name, command in commands.items():
            if self._times_asked:
                break
            self._children[name] = _start(command)
            printers.append(threading.Thread(target=self._print_lines, args=(name,), daemon=True))
            printers[-1].start()
        ended = self._wait_for_first()
        self._end_all()
        for printer in printers:
            printer.join(timeout=1)
        return 0 if self._times_asked or ended is None else (ended.returncode or 1)

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._times_asked += 1  # a handler does no more: the main thread may be anywhere, even in the middle of a start

    def _wait_for_first(self) -> subprocess.Popen[str] | None:
        while not self._times_asked:
            for child in self._children.values():
                if child.poll() is not None:
                    return child
            time.sleep(0.05)
        return None

    def _end_all(self) -> None:
        # The leader alone is asked: it knows how to put its own children down (the worker saves its engine's work).
        # Redis goes last, so that the others can still say goodbye.
        first, last = self._split_off_redis()
        for group in (first, last):
            for child in group:
                child.terminate()
            self._wait_until_gone(group)
        for child in self._children.values():
            _kill_group(child)

    def _wait_until_gone(self, children: list[subprocess.Popen[str]]) -> None:
        deadline = time.monotonic() + SECONDS_TO_LEAVE
        while any(child.poll() is None for child in children):
            if time.monotonic() > deadline or self._times_asked > 1:
                return
            time.sleep(0.05)

    def _split_off_redis(self) -> tuple[list[subprocess.Popen[str]], list[subprocess.Popen[str]]]:
        named = self._children.items()
        return [child for name, child in named if name != "redis"], [child for name, child in named if name == "redis"]

    def _print_lines(self, name: str) -> None:
        output = self._children[name].stdout
        assert output is not None
        for line in output:
            with self._printing:
                print(f"{name:7}| {line.rstrip()}", flush=True)


def read_procfile(path: Path) -> dict[str, list[str]]:
    """Read `name: command` lines; `python` means the one that runs this."""
    commands = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, colon, command = line.partition(":")
        if colon and not name.startswith("#"):
            words = shlex.split(command)
            commands[name.strip()] = [sys.executable if word == "python" else word for word in words]
    return commands


def _start(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        cwd=PROCFILE.parent,
        start_new_session=True,  # Ctrl-C reaches the supervisor only, which passes it on in order
        preexec_fn=END_WITH_PARENT,
    )


def _kill_group(child: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


if __name__ == "__main__":
    settings.refuse_impossible()
    sys.exit(Supervisor().run(read_procfile(PROCFILE)))
