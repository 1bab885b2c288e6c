"""What a training can read: what was preprocessed, what is being preprocessed, and datasets that would be first."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app import presets, verdicts, words
from fastvideo_engine.errors import DataError
from fastvideo_engine.specs import Manifest, spec_from
from worker import queue, settings
from worker.store import artifacts, datasets, jobs
from worker.store.tables import Artifact, Clip, Job

MANIFEST = Manifest(path="manifest.jsonl").model_dump()
"""The source of every preprocessing that the studio starts: the clips as they were when it was asked for."""
_DATASET = "dataset:"
_MOST_JOBS = 200


@dataclass(frozen=True)
class TrainingData:
    """One thing to choose: `value` is what the form holds, a folder as run folders see it, or a dataset by number."""

    title: str
    value: str
    is_ready: bool
    preprocessing: Job | None
    """The job that made the folder, or is to make it; a dataset that nobody preprocessed has none."""
    dataset_id: int | None


def offered() -> list[TrainingData]:
    """List all that can be chosen: what is ready first, the newest before the others."""
    ready = [_ready(artifact) for artifact in artifacts.of_kind("parquet")]
    coming = [_coming(job) for job in jobs.newest(["preprocess"], limit=_MOST_JOBS) if not job.is_over]
    preprocessed = {data.dataset_id for data in (*ready, *coming)}
    raw = [_raw(card) for card in datasets.cards() if card.captioned and card.dataset.id not in preprocessed]
    return [*ready, *coming, *raw]


def chosen(value: str | None) -> TrainingData | None:
    """Find what a value stands for; None when it is a folder that the studio knows nothing of."""
    return next((data for data in offered() if data.value == value), None)


def examples(data: TrainingData, most: int) -> list[Clip]:
    """Choose a few of the clips, each with another caption."""
    clips = datasets.clips(data.dataset_id) if data.dataset_id else []
    by_caption = {clip.caption: clip for clip in reversed(clips) if clip.caption and not clip.problem}
    return list(reversed(by_caption.values()))[:most]


def seen_from_a_run(file: Path) -> str:
    """Name a file of this home as every run folder sees it, so that a studio may move with its home."""
    return os.path.relpath(file, settings.runs() / "0")


def seen_from_here(path: str) -> Path:
    """Find the file that a run folder sees under a path."""
    return (settings.runs() / "0" / Path(path).expanduser()).resolve()


def preprocessing_problem(data: TrainingData, model: str) -> str | None:
    """Say why a dataset cannot be preprocessed for a model without anybody's choices; None when it can."""
    preset = _preset_for(model)
    if preset is None:
        return "The studio does not know what shape this model wants; open the dataset and press Preprocess there."
    assert data.dataset_id is not None
    clips = datasets.clips(data.dataset_id)
    left_out = verdicts.left_out(data.dataset_id, _settings(preset)) or []
    if len(left_out) < len(clips):
        return None
    name, reason = left_out[0]
    return f"No clip can be used as “{preset.title}”; the first, {name}: {reason}"


def preprocess_for(model: str, dataset_id: int) -> Job:
    """Queue the preprocessing of a dataset in the shape that a model's preset names."""
    preset = _preset_for(model)
    assert preset is not None, "preprocessing_problem tells of it"
    return preprocess(_settings(preset), dataset_id)


def preprocess(chosen_settings: dict[str, Any], dataset_id: int) -> Job:
    """Queue the preprocessing of a dataset as it is now; raise `DataError` when it holds nothing to encode."""
    dataset = datasets.get(dataset_id)
    clips = [clip for clip in datasets.clips(dataset_id) if not clip.problem]
    if dataset is None or not clips:
        raise DataError("This dataset has no clip that can be used; add one under Clips first.")
    return queue.enqueue(spec_from(chosen_settings), dataset.name, dataset_id=dataset.id, clips=clips)


def made_by(preprocessing: Job) -> str:
    """Name the folder that a preprocessing makes, as run folders see it."""
    return seen_from_a_run(preprocessing.folder.parquet)


def _ready(artifact: Artifact) -> TrainingData:
    facts, job = artifact.facts, jobs.get(artifact.job_id)
    assert job is not None, "an artifact belongs to a job"
    shape = f"{facts['height']}×{facts['width']}×{facts['frames']}"
    title = f"#{job.id} {job.title} · {words.count(facts['clips'], 'clip')} · {shape}"
    return TrainingData(title, made_by(job), True, job, job.dataset_id)


def _coming(job: Job) -> TrainingData:
    return TrainingData(f"#{job.id} {job.title} · being preprocessed", made_by(job), False, job, job.dataset_id)


def _raw(card: datasets.DatasetCard) -> TrainingData:
    title = f"{card.dataset.name} · {words.count(card.captioned, 'clip')} · preprocessed first"
    return TrainingData(title, f"{_DATASET}{card.dataset.id}", False, None, card.dataset.id)


def _preset_for(model: str) -> presets.Preset | None:
    return next((preset for preset in presets.of_kind("preprocess") if preset.settings["model"] == model), None)


def _settings(preset: presets.Preset) -> dict[str, Any]:
    return {"kind": "preprocess", "source": MANIFEST, **preset.settings}
