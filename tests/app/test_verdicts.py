import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app import verdicts
from fastvideo_engine.events import read_events
from fastvideo_engine.specs import Manifest, PreprocessSpec
from worker import launch, queue
from worker.store import artifacts, datasets, intake, jobs

REPOSITORY = Path(__file__).parents[2]
SMALL = {"kind": "preprocess", "height": 64, "width": 96, "frames": 17, "fps": 16}


@pytest.fixture
def dataset_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_clip: Callable[..., Path]) -> int:
    """A dataset with a good clip, one too short, one without a caption, and a file that is no video."""
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path / "home"))
    dataset = datasets.create("fruit")
    (tmp_path / "fake.mp4").write_text("no video")
    files = [make_clip(tmp_path / f"{name}.mp4", seconds=seconds) for name, seconds in (("good", 2), ("short", 0.5))]
    for file in files:
        intake.add_clip_file(dataset.id, file, file.name, "a square wanders")
    intake.add_clip_file(dataset.id, make_clip(tmp_path / "silent.mp4", seconds=2), "silent.mp4")
    intake.add_clip_file(dataset.id, tmp_path / "fake.mp4", "fake.mp4", "a caption")
    return dataset.id


def settings(model: str) -> dict:
    return {**SMALL, "model": model, "source": Manifest(path="manifest.jsonl").model_dump()}


def test_a_page_says_of_each_clip_what_preprocessing_will_say(dataset_id, tiny_wan):
    spec = PreprocessSpec.model_validate(settings(str(tiny_wan)))
    usable = [clip for clip in datasets.clips(dataset_id) if not clip.problem]
    job = queue.enqueue(spec.model_copy(update={"max_bad_share": 1.0}), "fruit", clips=usable)
    launch.prepare(job)
    subprocess.run([sys.executable, "-m", "fastvideo_engine", str(job.folder.path)], cwd=REPOSITORY, check=True)
    jobs.fold(job.id, read_events(job.folder.events)[0], 0)
    of_the_worker = {(row.clip, row.reason) for row in artifacts.rejected_by(job.id)}
    of_the_page = set(verdicts.left_out(dataset_id, settings("any/model")))
    assert {name for name, _ in of_the_page} == {"short.mp4", "silent.mp4", "fake.mp4"}
    assert of_the_worker == {(name, reason) for name, reason in of_the_page if name != "fake.mp4"}


def test_settings_that_do_not_hold_get_no_verdict(dataset_id):
    assert verdicts.left_out(dataset_id, {**SMALL, "frames": 0}) is None
