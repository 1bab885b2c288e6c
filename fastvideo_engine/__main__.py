"""The engine as a program, `python -m fastvideo_engine`, and the border where every failure gets its sentence."""

import errno
import importlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence

from fastvideo_engine.command_line import Asked, check_goes_on, keep_spec, spec_asked_for, understand
from fastvideo_engine.errors import EngineError
from fastvideo_engine.events import EventWriter, Failed, Note
from fastvideo_engine.lifeline import (
    FolderIsTakenError,
    die_with_parent,
    forget_old_failures,
    hold_folder,
    is_first_process,
    is_first_to_fail,
    is_one_of_several,
)
from fastvideo_engine.reporting import Reporter
from fastvideo_engine.run_folder import RunFolder
from fastvideo_engine.specs import JobSpec

_RUNNERS = {
    "import": "fastvideo_engine.data.import_dataset",
    "preprocess": "fastvideo_engine.data.preprocess",
    "train": "fastvideo_engine.training.loop",
    "generate": "fastvideo_engine.sampling.generate",
}
_PLANNER = "fastvideo_engine.training.plan"
_STORAGE = {
    errno.ENOSPC: "The disk is full",
    errno.EDQUOT: "The disk quota is used up",
    errno.EROFS: "The disk is read-only",
    errno.EIO: "The disk cannot be read or written",
}
_SECONDS_FOR_THE_FIRST_TO_SPEAK = 2


def main(arguments: Sequence[str]) -> int:
    """Do what the arguments ask and return the exit code; no failure leaves without a sentence."""
    return carry_out(understand(arguments))


def carry_out(asked: Asked) -> int:
    """Do what was asked and return the exit code."""
    if asked.die_with_parent:
        die_with_parent()
    try:
        _do(asked)
    except KeyboardInterrupt:
        print("Ended at once; what was complete is kept.", file=sys.stderr)
        return 130
    except FolderIsTakenError as error:
        print(error, file=sys.stderr)
        return 1
    except Exception as error:  # the border: whatever happens inside, its user reads a sentence
        _say_why(error, None if asked.runner or asked.dry_run else asked.folder)
        return 1
    return 0


def _do(asked: Asked) -> None:
    if asked.runner is not None:
        importlib.import_module(asked.runner).run(**asked.given)
        return
    spec, folder = spec_asked_for(asked), asked.folder
    if asked.dry_run:
        _plan(asked, spec)
        return
    if spec.processes > 1 and "RANK" not in os.environ:
        _start_processes(spec.processes, asked.command)
    if is_first_process():
        _prepare(asked, spec, folder)
    signal.signal(signal.SIGINT, lambda _number, _frame: _stop_gently(folder))
    importlib.import_module(_RUNNERS[spec.kind]).run(spec, folder)


def _plan(asked: Asked, spec: JobSpec) -> None:
    if not is_first_process():
        return
    check_goes_on(spec, asked.folder)
    for notice in asked.notices:
        print(notice)
    importlib.import_module(_PLANNER).run(spec, asked.folder)


def _prepare(asked: Asked, spec: JobSpec, folder: RunFolder) -> None:
    if asked.kind is not None:
        folder.path.mkdir(parents=True, exist_ok=True)
    hold_folder(folder.path)
    forget_old_failures(folder.path)
    if asked.kind is not None:
        keep_spec(spec, folder)
        folder.forget_stop()
    for notice in asked.notices:
        Reporter(folder).write(Note(text=notice))


def _start_processes(count: int, command: Sequence[str]) -> None:
    """Become torchrun, which starts this program so many times."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    os.execv(sys.executable, [*launcher, *command])


def _stop_gently(folder: RunFolder) -> None:
    folder.ask_to_stop()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    print("Stopping once the work in hand is saved; Ctrl-C again ends at once.", file=sys.stderr)


def _say_why(error: Exception, folder: RunFolder | None) -> None:
    sentence = _in_words(error)
    if sentence is None:
        traceback.print_exception(error)
        sentence = (
            f"Something unexpected went wrong ({type(error).__name__}: {_first_line(error)}); the log has the details."
        )
        if is_one_of_several():
            # When a sibling fails, this process meets a broken connection; the sibling's own sentence goes first.
            time.sleep(_SECONDS_FOR_THE_FIRST_TO_SPEAK)
    print(sentence, file=sys.stderr)
    if folder is not None and folder.path.is_dir():
        _report(Failed(text=sentence), folder)


def _report(failure: Failed, folder: RunFolder) -> None:
    try:
        if is_first_to_fail(folder.path):
            EventWriter(folder.events).write(failure)
    except OSError as error:  # the full disk that is being reported, as a rule; the terminal has the sentence
        print(f"The failure could not be written to {folder.events} ({error.strerror}).", file=sys.stderr)


def _in_words(error: Exception) -> str | None:
    """Say a failure that a user can do something about; None for all others."""
    if isinstance(error, EngineError):
        return str(error)
    if isinstance(error, OSError) and error.errno in _STORAGE:
        where = f" at {error.filename}" if error.filename else ""
        return f"{_STORAGE[error.errno]}{where}; make room or see to it, then continue: what was complete is kept."
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, without importing it
        return "The memory is full; lower the frames, the size or the batch size, or close other programs."
    return None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or "no message").splitlines()[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
