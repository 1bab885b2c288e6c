"""A studio's home of its own for each test, with clips in it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fastvideo_engine.specs import Manifest, PreprocessSpec, TrainSpec
from worker.store import datasets, intake
from worker.store.tables import Dataset


@pytest.fixture
def studio_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty STUDIO_HOME that this process uses."""
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("REDIS_URL", raising=False)
    return tmp_path / "home"


@pytest.fixture
def dataset(studio_home: Path) -> Dataset:
    return datasets.create("fruit")


@pytest.fixture
def clip_file(tmp_path: Path, make_clip: Callable[..., Path]) -> Callable[[str], Path]:
    """Make a real mp4 outside the home, as an upload would lie there."""

    def make(name: str = "a.mp4", **facts: object) -> Path:
        folder = tmp_path / "uploaded"
        folder.mkdir(exist_ok=True)
        return make_clip(folder / name, **facts)

    return make


@pytest.fixture
def take_in(dataset: Dataset) -> Callable[..., intake.Intake]:
    """Take files into the dataset under their own names."""

    def take(*files: Path) -> intake.Intake:
        assert dataset.id is not None
        return intake.take_in(dataset.id, [(file, file.name) for file in files])

    return take


@pytest.fixture
def preprocess_spec(tiny_wan: Path) -> PreprocessSpec:
    return PreprocessSpec(
        model=str(tiny_wan), source=Manifest(path="manifest.jsonl"), height=64, width=96, frames=17, fps=16
    )


@pytest.fixture
def train_spec(tiny_wan: Path, fastvideo_fixtures: Path) -> TrainSpec:
    """A training on the Parquet that FastVideo itself made with this model."""
    return TrainSpec(model=str(tiny_wan), parquet=str(fastvideo_fixtures / "t2v"), steps=3)
