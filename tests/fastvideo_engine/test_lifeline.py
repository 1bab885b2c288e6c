"""Engines end with their parents, keep out of each other's folders, and fail with one voice."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fastvideo_engine import lifeline

_REPOSITORY = Path(__file__).parents[2]
_CHILD = "from fastvideo_engine.lifeline import die_with_parent; die_with_parent(); import time; time.sleep(60)"
_PARENT = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {_CHILD!r}])
time.sleep(1)
print(child.pid, flush=True)
time.sleep(60)
"""


def _is_alive(process_id):
    with contextlib.suppress(ProcessLookupError):
        os.kill(process_id, 0)
        return "\nState:\tZ" not in Path(f"/proc/{process_id}/status").read_text()
    return False


def test_a_child_ends_when_its_parent_is_killed():
    parent = subprocess.Popen([sys.executable, "-c", _PARENT], cwd=_REPOSITORY, stdout=subprocess.PIPE)
    child = int(parent.stdout.readline())
    assert _is_alive(child)

    parent.send_signal(signal.SIGKILL)
    parent.wait()

    deadline = time.monotonic() + 5
    while _is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _is_alive(child)


def test_a_folder_is_held_by_one_process_until_that_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(lifeline, "_SECONDS_TO_WAIT_FOR_THE_FOLDER", 0)
    lock = lifeline.hold_folder(tmp_path)

    with pytest.raises(lifeline.FolderIsTakenError, match="Another process is working in"):
        lifeline.hold_folder(tmp_path)

    os.close(lock)
    os.close(lifeline.hold_folder(tmp_path))


def test_of_several_processes_only_the_first_to_fail_speaks(tmp_path, monkeypatch):
    assert [lifeline.is_first_to_fail(tmp_path) for _ in range(2)] == [True, True]  # alone, each start is its own

    monkeypatch.setenv("WORLD_SIZE", "2")
    assert [lifeline.is_first_to_fail(tmp_path) for _ in range(2)] == [True, False]


def test_marks_of_earlier_failures_are_removed_and_the_present_one_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    (tmp_path / ".failed-1").touch()
    lifeline.is_first_to_fail(tmp_path)

    lifeline.forget_old_failures(tmp_path)

    assert [file.name for file in tmp_path.iterdir()] == [f".failed-{os.getppid()}"]
