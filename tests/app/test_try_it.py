import re
import threading
from pathlib import Path

import pytest

from app import training_data, try_it
from fastvideo_engine.specs import Manifest, PreprocessSpec, TrainSpec
from fastvideo_engine.specs.train import Lora
from worker.store import datasets, jobs


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def pairs(captions: list[str]) -> set[tuple[str, str]]:
    """Read the colour and the background out of captions of the small world."""
    return {
        re.search(r"an? (\w+) \w+ (?:moving \w+ )?on an? (\w+) background", caption).groups() for caption in captions
    }


def test_clicks_in_the_same_moment_start_one_run_of_ordinary_jobs():
    addresses: list[str] = []
    clicks = [threading.Thread(target=lambda: addresses.append(try_it.start())) for _ in range(3)]
    [click.start() for click in clicks]
    [click.join() for click in clicks]
    assert addresses == ["/run?id=2"] * 3

    (card,) = datasets.cards()
    assert (card.dataset.name, card.clips, card.usable, card.captioned) == ("Sample: crush", 24, 24, 24)
    training, preprocessing = jobs.newest()
    assert (training.parent_id, training.dataset_id) == (preprocessing.id, card.dataset.id)
    spec, source = jobs.spec_of(training), jobs.spec_of(preprocessing)
    assert isinstance(spec, TrainSpec)
    assert isinstance(spec.tuning, Lora)
    assert isinstance(source, PreprocessSpec)
    assert spec.parquet[0].path == f"../{preprocessing.id}/combined_parquet_dataset"
    assert spec.model == source.model == "../../models/tiny-wan"
    assert source.source == Manifest(path="manifest.jsonl")
    assert len(preprocessing.folder.manifest.read_text().splitlines()) == 24

    shown = pairs([clip.caption for clip in datasets.clips(card.dataset.id)])
    crushed, plain = spec.validation.prompts[:2], spec.validation.prompts[2]
    assert all(prompt.startswith("a press crushes") for prompt in crushed)
    assert pairs(crushed).isdisjoint(shown)
    assert "moving right" in plain
    assert [data.title for data in training_data.offered()] == ["#1 Sample: crush · being preprocessed"]


def test_the_offer_stands_only_while_there_are_no_datasets():
    assert try_it.offer_if_empty()["visible"] is True
    datasets.create("mine")
    assert try_it.offer_if_empty()["visible"] is False
