"""Killed at any moment and started again, preprocessing loses nothing, doubles nothing and repeats nothing."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys

import pytest

from fastvideo_engine.data import preprocess
from fastvideo_engine.data.ledger import read_ledger
from fastvideo_engine.specs.preprocess import HeldOut, Output, Selection

_SETTINGS = {
    "selection": Selection(long_clips="split"),
    "held_out": HeldOut(share=0.2),
    "output": Output(samples_per_file=3, flush_frequency=4),
}


@pytest.fixture
def spec(tmp_path, make_clip, listed):
    """Eight videos of one to three clips each, and two bad ones."""
    seconds = (1.2, 2.2, 3.4, 1.2, 2.2, 3.4, 2.2, 2.2)
    videos = [(make_clip(tmp_path / f"{n}.mp4", seconds=each), f"clip {n}") for n, each in enumerate(seconds)]
    short = make_clip(tmp_path / "short.mp4", seconds=0.3)
    return listed(*videos, (short, "x"), (tmp_path / "missing.mp4", "x"), **_SETTINGS)


def _everything(folder, rows_in):
    held_out = rows_in(folder.validation_parquet)
    return {**rows_in(folder.parquet), **{f"held out {name}": row for name, row in held_out.items()}}


def _written(folder):
    rows = read_ledger(folder).items()
    return {name: (row.file, row.row) for name, row in rows if row.file and (folder.path / row.file).exists()}


@pytest.mark.slow
def test_twenty_kills_at_random_moments_change_nothing(spec, run_folder, rows_in):
    straight = run_folder("straight")
    preprocess.run(spec, straight)
    expected = _everything(straight, rows_in)
    # A server that has imported everything forks a process in no time, so that kills fall into the work.
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([preprocess.__name__])
    chances, kills, kept, folder = random.Random(20), 0, {}, run_folder("0")
    while kills < 20 or kept:
        process = processes.Process(target=preprocess.run, args=(spec, folder))
        process.start()
        process.join(chances.uniform(0.05, 1.2) if kills < 20 else None)
        process.kill()
        process.join()
        assert kept.items() <= _written(folder).items()
        kept = _written(folder)
        if process.exitcode == -signal.SIGKILL:
            kills += 1
            continue
        assert process.exitcode == 0
        assert _everything(folder, rows_in) == expected
        assert sorted(kept) == sorted(name.removeprefix("held out ") for name in expected)
        left_out = {row.clip for row in read_ledger(folder).values() if row.state == "rejected"}
        assert left_out == {"short.mp4", "missing.mp4"}
        kept, folder = {}, run_folder(str(kills))


@pytest.mark.slow
def test_two_processes_write_the_rows_that_one_writes(spec, run_folder, rows_in):
    one, two = run_folder("one"), run_folder("two")
    preprocess.run(spec, one)

    (two.path / "spec.yaml").write_text(spec.model_copy(update={"processes": 2}).to_yaml())
    command = [sys.executable, "-m", "fastvideo_engine", str(two.path)]
    told = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})

    assert told.returncode == 0, told.stderr
    assert _everything(two, rows_in) == _everything(one, rows_in)
    assert {path.parent.name for path in two.parquet.rglob("*.parquet")} == {"worker_0", "worker_1"}
