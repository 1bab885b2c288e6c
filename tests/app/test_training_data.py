from collections.abc import Callable
from pathlib import Path

import pytest

from app import base_models, training_data
from app.pages import train
from fastvideo_engine.errors import DataError
from fastvideo_engine.events import ArtifactMade
from worker.store import datasets, intake, jobs
from worker.store.tables import Dataset, JobStatus

VALUES = {"kind": "train", "tuning": {"method": "lora"}}


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_clip: Callable[..., Path]) -> Dataset:
    """A dataset of one good clip."""
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path / "home"))
    made = datasets.create("fruit")
    intake.add_clip_file(made.id, make_clip(tmp_path / "a.mp4", seconds=1.5), "a.mp4", "a square wanders")
    return made


def choose() -> training_data.TrainingData:
    (only,) = training_data.offered()
    return only


def test_a_dataset_is_offered_raw_then_as_being_preprocessed_then_as_ready(dataset):
    assert (choose().title, choose().value, choose().is_ready) == (
        "fruit · 1 clip · preprocessed first",
        "dataset:1",
        False,
    )
    job = training_data.preprocess_for(base_models.TINY_WAN, dataset.id)
    assert (choose().title, choose().value) == ("#1 fruit · being preprocessed", "../1/combined_parquet_dataset")
    jobs.claim(job.id, "here", 1, ["cpu"])
    facts = {"height": 64, "width": 64, "frames": 17, "clips": 1}
    job.folder.parquet.mkdir(parents=True)
    jobs.fold(job.id, [ArtifactMade(kind="parquet", path="combined_parquet_dataset", facts=facts)], 1)
    jobs.finish(job.id, JobStatus.FINISHED, "1 clip is ready.")
    assert (choose().title, choose().is_ready) == ("#1 fruit · 1 clip · 64×64×17", True)
    assert [clip.name for clip in training_data.examples(choose(), 2)] == ["a.mp4"]


def test_training_on_a_raw_dataset_asks_for_its_preprocessing_too(dataset):
    address = train.train({**VALUES, "model": base_models.TINY_WAN, "parquet": "dataset:1"})
    preprocessing, training = jobs.get(1), jobs.get(2)
    assert address == "/run?id=2"
    assert (preprocessing.kind, preprocessing.spec["width"], training.parent_id) == ("preprocess", 64, 1)
    assert training.spec["parquet"] == [{"path": "../1/combined_parquet_dataset", "weight": 1}]
    assert training.title == "LoRA on fruit"


def test_training_on_what_is_being_preprocessed_waits_for_that(dataset):
    training_data.preprocess_for(base_models.TINY_WAN, dataset.id)
    train.train({**VALUES, "model": base_models.TINY_WAN, "parquet": choose().value})
    assert [job.kind for job in jobs.newest()] == ["train", "preprocess"]
    assert jobs.awaited_by(jobs.get(2)).id == 1


def test_a_model_of_unknown_shape_is_refused_beside_the_data(dataset):
    assert "press Preprocess there" in training_data.preprocessing_problem(choose(), "owner/name")


def test_clips_that_a_models_shape_cannot_use_are_refused_with_the_first_reason(dataset):
    refused = training_data.preprocessing_problem(choose(), "Wan-AI/Wan2.1-T2V-1.3B-Diffusers")
    assert refused.startswith("No clip can be used as “Wan 2.1 · 480×832, 77 frames”; the first, a.mp4:")
    assert training_data.preprocessing_problem(choose(), base_models.TINY_WAN) is None


def test_a_dataset_that_was_deleted_is_not_preprocessed(dataset):
    with pytest.raises(DataError, match="no clip that can be used"):
        training_data.preprocess_for(base_models.TINY_WAN, 7)
