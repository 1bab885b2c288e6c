"""Every failure leaves as one sentence, in the events and at the terminal; stopping and killing lose nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from fastvideo_engine import __main__ as program
from fastvideo_engine.data.ledger import read_ledger
from fastvideo_engine.events import ClipRejected, Failed, Finished, Stopped

_REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _own_interrupt_handler():
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def runner_that(tmp_path, monkeypatch):
    """Put a runner in the place of imports that does what a line of Python says."""

    def make(line):
        (tmp_path / "odd_runner.py").write_text(f"def run(spec, folder):\n    {line}\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "odd_runner", raising=False)
        monkeypatch.setitem(program._RUNNERS, "import", "odd_runner")
        return ["import", "--set", "dataset=owner/name", "--output"]

    return make


def _engine(*arguments, **settings):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "fastvideo_engine", *map(str, arguments)],
        cwd=_REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **settings,
    )


def _preprocessing(folder, dataset, model, *more):
    settings = {
        "model": model,
        "source.type": "merged",
        "source.path": dataset,
        "height": 64,
        "width": 96,
        "frames": 17,
    }
    return [
        "preprocess",
        *(part for field, value in settings.items() for part in ("--set", f"{field}={value}")),
        *("--output", folder.path),
        *more,
    ]


def _many_clips(tmp_path, make_clip, count):
    """A merged folder of so many good clips, and four bad ones among them."""
    folder = tmp_path / "dataset"
    for number in range(count):
        make_clip(folder / "videos" / f"{number:02d}.mp4", fps=16)
    (folder / "videos" / "text.mp4").write_text("not a video\n" * 50)
    make_clip(folder / "videos" / "short.mp4", seconds=0.5)
    rows = [{"path": f"{number:02d}.mp4", "cap": f"caption {number}"} for number in range(count)]
    rows[1:1] = [{"path": "text.mp4", "cap": "x"}, {"path": "short.mp4", "cap": "x"}]
    rows[5:5] = [{"path": "00.mp4", "cap": ""}, {"path": "missing.mp4", "cap": "x"}]
    (folder / "videos2caption.json").write_text(json.dumps(rows))
    return folder


def _wait_for(condition, seconds=90):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_a_spec_that_does_not_hold_fails_in_a_sentence(run_folder, capsys):
    folder = run_folder()

    assert program.main(["preprocess", "--set", "heigth=64", "--output", str(folder.path)]) == 1

    assert "heigth: Extra inputs are not permitted" in capsys.readouterr().err


def test_a_run_folder_with_a_wrong_spec_tells_it_in_the_events(run_folder, events_of):
    folder = run_folder()
    folder.spec.write_text("kind: train\nmodel: m\nparquet: p\nsteps: 0\n")

    assert program.main([str(folder.path)]) == 1

    [failure] = events_of(folder, Failed)
    assert failure.text.startswith("The train spec does not hold: steps: Input should be greater than or equal to 1")


def test_something_unexpected_is_said_and_its_traceback_printed(runner_that, run_folder, events_of, capsys):
    folder = run_folder()

    assert program.main([*runner_that("raise ValueError('odd')"), str(folder.path)]) == 1

    assert [event.text for event in events_of(folder, Failed)] == [
        "Something unexpected went wrong (ValueError: odd); the log has the details."
    ]
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("raise MemoryError", "The memory is full; lower"),
        ("import torch; raise torch.OutOfMemoryError('CUDA out of memory')", "The memory is full; lower"),
        ("import errno; raise OSError(errno.EROFS, 'x', '/data/a')", "The disk is read-only at /data/a; "),
        ("from fastvideo_engine.errors import DataError; raise DataError('No clips.')", "No clips."),
    ],
)
def test_a_failure_that_can_be_cured_has_no_traceback(runner_that, run_folder, events_of, capsys, line, sentence):
    folder = run_folder()

    assert program.main([*runner_that(line), str(folder.path)]) == 1

    [failure] = events_of(folder, Failed)
    assert failure.text.startswith(sentence)
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the machine has no file that is always full")
def test_a_full_disk_is_said_though_the_events_are_on_it(run_folder, capsys):
    folder = run_folder()
    folder.events.symlink_to("/dev/full")

    assert program.main(["import", "--set", "dataset=./nothing", "--output", str(folder.path)]) == 1

    told = capsys.readouterr().err
    assert told.startswith("The disk is full; make room")
    assert "Traceback" not in told


def test_the_first_interrupt_asks_to_stop_and_the_second_ends(runner_that, run_folder, capsys):
    folder = run_folder()
    interrupt = "import os, signal; os.kill(os.getpid(), signal.SIGINT); open(folder.path / 'between', 'w').close();"
    arguments = runner_that(f"{interrupt} os.kill(os.getpid(), signal.SIGINT)")

    assert program.main([*arguments, str(folder.path)]) == 130

    assert (folder.path / "between").exists()
    assert folder.stop_was_asked()
    assert "Ctrl-C again ends at once" in capsys.readouterr().err


def test_a_stop_left_over_is_forgotten_when_a_command_starts_anew(runner_that, run_folder):
    folder = run_folder()
    folder.ask_to_stop()

    assert program.main([*runner_that("assert not folder.stop_was_asked()"), str(folder.path)]) == 0


def test_a_folder_that_another_process_holds_is_left_alone(runner_that, run_folder, events_of, monkeypatch, capsys):
    monkeypatch.setattr("fastvideo_engine.lifeline._SECONDS_TO_WAIT_FOR_THE_FOLDER", 0)
    folder = run_folder()
    lock = program.hold_folder(folder.path)

    assert program.main([*runner_that("raise AssertionError"), str(folder.path)]) == 1

    assert "Another process is working in" in capsys.readouterr().err
    assert events_of(folder) == []
    os.close(lock)


def test_help_and_wrong_specs_answer_without_torch():
    script = (
        "import sys; from fastvideo_engine.__main__ import main; "
        "main(['train', '--set', 'steps=0', '--output', 'x']); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], cwd=_REPOSITORY, check=True, capture_output=True)


@pytest.mark.slow
def test_a_killed_engine_goes_on_with_two_processes_and_doubles_nothing(
    tmp_path, make_clip, tiny_wan, run_folder, events_of
):
    dataset, folder = _many_clips(tmp_path, make_clip, 36), run_folder()
    first = _engine(*_preprocessing(folder, dataset, tiny_wan))
    _wait_for(lambda: sum(row.state == "written" for row in read_ledger(folder).values()) >= 8)
    first.kill()
    first.wait()
    assert 8 <= len(list(folder.parquet.rglob("*.parquet"))) * 8 < 36

    second = _engine(*_preprocessing(folder, dataset, tiny_wan, "--set", "processes=2"))
    output, _ = second.communicate(timeout=120)

    assert second.returncode == 0, output
    assert sorted(pq.read_table(folder.parquet)["id"].to_pylist()) == [f"{number:02d}.mp4" for number in range(36)]
    assert sorted(event.clip for event in events_of(folder, ClipRejected)) == [
        "00 (2).mp4",
        "missing.mp4",
        "short.mp4",
        "text.mp4",
    ]
    assert [event.text for event in events_of(folder, Finished)] == ["36 clips are ready, 4 were left out."]


@pytest.mark.slow
def test_of_two_processes_that_fail_alike_one_speaks(run_folder, merged_dataset, events_of):
    folder = run_folder()
    engine = _engine(*_preprocessing(folder, merged_dataset, "/no/model", "--set", "processes=2"))
    output, _ = engine.communicate(timeout=120)

    assert engine.returncode != 0
    assert [event.text for event in events_of(folder, Failed)] == [
        "There is no model folder at /no/model; check the path, or give a Hugging Face id."
    ], output


@pytest.mark.slow
def test_an_interrupted_engine_writes_what_it_has(tmp_path, make_clip, tiny_wan, run_folder, events_of):
    dataset, folder = _many_clips(tmp_path, make_clip, 36), run_folder()
    engine = _engine(*_preprocessing(folder, dataset, tiny_wan))
    _wait_for(lambda: folder.events.exists() and "Encoding 36 clips" in folder.events.read_text())
    time.sleep(1)
    engine.send_signal(signal.SIGINT)
    output, _ = engine.communicate(timeout=60)

    assert engine.returncode == 0, output
    [stopped] = events_of(folder, Stopped)
    written = len(pq.read_table(folder.parquet))
    assert stopped.text == f"Stopped; {written + 4} of 40 clips are done, the rest can follow."
    assert 0 < written < 36
