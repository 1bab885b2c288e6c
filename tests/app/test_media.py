from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app import media
from fastvideo_engine.events import ArtifactMade
from fastvideo_engine.specs import TrainSpec
from worker.store import artifacts, datasets, intake, jobs
from worker.store.tables import Clip


@pytest.fixture
def browser_like(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path / "home"))
    server = FastAPI()
    server.include_router(media.router)
    return TestClient(server)


@pytest.fixture
def clip(browser_like, tmp_path: Path, make_clip: Callable[..., Path]) -> Clip:
    dataset = datasets.create("fruit")
    return intake.add_clip_file(dataset.id, make_clip(tmp_path / "a.mp4"), "a.mp4")


def mpeg4(path: Path) -> Path:
    """Write a video that no browser plays."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=24)
        stream.width, stream.height = 64, 48
        for number in range(12):
            picture = np.full((48, 64, 3), number * 20, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        file.mux(stream.encode())
    return path


def test_a_clip_is_sent_whole_or_by_the_range_asked_for(browser_like, clip):
    whole = browser_like.get(media.clip_url(clip))
    assert (whole.status_code, whole.content) == (200, clip.file.read_bytes())
    part = browser_like.get(media.clip_url(clip), headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, b"ftyp")


def test_what_an_id_names_may_be_kept_by_the_browser_but_by_nobody_between(browser_like, clip):
    assert "private" in browser_like.get(media.poster_url(clip)).headers["cache-control"]


def test_a_clip_that_browsers_cannot_play_is_sent_as_one_that_they_can(browser_like, clip, tmp_path):
    odd = intake.add_clip_file(clip.dataset_id, mpeg4(tmp_path / "odd.mp4"), "odd.mp4")
    (tmp_path / "sent.mp4").write_bytes(browser_like.get(media.clip_url(odd)).content)
    with av.open(str(tmp_path / "sent.mp4")) as sent:
        assert sent.streams.video[0].codec_context.name == "h264"


@pytest.mark.parametrize("address", ["/media/clip/99", "/media/poster/99", "/media/artifact/99"])
def test_an_unknown_id_is_not_found(browser_like, clip, address):
    assert browser_like.get(address).status_code == 404


@pytest.mark.parametrize("name", ["..%2F..%2Fstudio.db", "0", "-1", "9" * 30, "studio.db"])
def test_only_ids_are_taken(browser_like, clip, name):
    assert browser_like.get(f"/media/clip/{name}").status_code in (404, 422)


def test_a_result_can_be_saved_under_a_name_of_its_own(browser_like):
    job = jobs.create(TrainSpec(model="m/m", parquet="p"), "LoRA")
    (job.folder.path / "adapter.safetensors").write_bytes(b"weights")
    jobs.fold(job.id, [ArtifactMade(kind="adapter", path="adapter.safetensors", step=1)], 1)
    (adapter,) = artifacts.of_job(job.id, "adapter")
    saved = browser_like.get(f"{media.artifact_url(adapter)}?name=../my lora.safetensors")
    assert saved.content == b"weights"
    assert "my%20lora.safetensors" in saved.headers["content-disposition"]
    assert ".." not in saved.headers["content-disposition"]
