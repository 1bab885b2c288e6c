"""A claimed job becomes processes: what to start, with which devices, and in a group of its own."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from fastvideo_engine.run_folder import write_whole
from worker import devices
from worker.offspring import END_WITH_PARENT
from worker.store import jobs
from worker.store.tables import Job

_REPOSITORY = Path(__file__).parents[1]


def command(job: Job) -> list[str]:
    """Say what to run for a job."""
    return [sys.executable, "-m", "fastvideo_engine", str(job.folder.path), "--die-with-parent"]


def prepare(job: Job) -> None:
    """Write the spec into the run folder, and take back a stop that an earlier attempt obeyed."""
    job.folder.path.mkdir(parents=True, exist_ok=True)
    write_whole(job.folder.spec, jobs.spec_of(job).to_yaml())
    job.folder.forget_stop()


def start(job: Job, command: list[str]) -> subprocess.Popen[bytes]:
    """Start a process in its own group, its output appended to the run's log."""
    with job.folder.log.open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | _environment(job),
            cwd=_REPOSITORY,
            start_new_session=True,
            # A worker that is killed must not leave an engine behind: the job is started again in the same folder.
            preexec_fn=END_WITH_PARENT,
        )


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started, at once."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _environment(job: Job) -> dict[str, str]:
    visible = {} if devices.CPU in job.devices else {"CUDA_VISIBLE_DEVICES": ",".join(job.devices)}
    return {**visible, "PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false"}
