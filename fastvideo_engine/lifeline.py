"""What ties an engine's process to others: its parent, its torchrun siblings, and whoever works in the same folder."""

import ctypes
import fcntl
import os
import signal
import sys
import threading
import time
from pathlib import Path

from fastvideo_engine.errors import EngineError

_PR_SET_PDEATHSIG = 1
_SECONDS_TO_WAIT_FOR_THE_FOLDER = 10


def is_first_process() -> bool:
    """Tell the process that speaks for the job, before torch is there to ask."""
    return os.environ.get("RANK", "0") == "0"


def is_one_of_several() -> bool:
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def die_with_parent() -> None:
    """End this process when the one that started it ends, however that ends."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # Everywhere else, and if the parent ended before the line above.
    threading.Thread(target=_leave_once_orphaned, args=(parent,), daemon=True).start()


def hold_folder(folder: Path) -> int:
    """Lock a run folder for the life of this process; raise `EngineError` when another process works in it.

    The lock goes with the process, so a killed engine leaves none behind.
    """
    lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    # An engine that was just killed holds its lock until its memory is given back.
    deadline = time.monotonic() + _SECONDS_TO_WAIT_FOR_THE_FOLDER
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise FolderIsTakenError(
                    f"Another process is working in {folder}; wait for it to end, or stop it."
                ) from None
            time.sleep(0.2)


class FolderIsTakenError(EngineError):
    """The run folder belongs to another process, which alone may write events there."""


def is_first_to_fail(folder: Path) -> bool:
    """Tell whether this process is the first of its torchrun siblings to ask; the others only fall with it."""
    if not is_one_of_several():
        return True
    try:
        _failure_mark(folder).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def forget_old_failures(folder: Path) -> None:
    """Remove the marks that earlier starts left."""
    for mark in folder.glob(_failure_mark(folder).name.replace(str(os.getppid()), "*")):
        if mark != _failure_mark(folder):
            mark.unlink(missing_ok=True)


def _failure_mark(folder: Path) -> Path:
    return folder / f".failed-{os.getppid()}"  # siblings have one parent


def _leave_once_orphaned(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
