"""Whatever people have in their folders becomes training data or is left out with a reason, and ends no job."""

import random

import av
import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fastvideo_engine.data import preprocess
from fastvideo_engine.data.frames import plan, read_cut
from fastvideo_engine.data.ledger import read_ledger
from fastvideo_engine.data.sources import clips_of
from fastvideo_engine.families import FAMILIES
from fastvideo_engine.specs import HuggingFaceSource, Manifest, PreprocessSpec

_SMALL = {"height": 32, "width": 48, "frames": 5, "fps": 16, "max_bad_share": 1}


@pytest.fixture
def folder_of(tmp_path, make_clip, film, greys, spoilt):
    """A folder of usual and unusual files, each with its caption."""
    folder = tmp_path / "clips"
    folder.mkdir()
    make_clip(folder / "usual.mp4", seconds=1)
    film(folder / "ten bits.mp4", greys(12), pixels="yuv420p10le")
    film(folder / "transparent.mov", [np.full((64, 64, 4), 128, np.uint8)] * 12, codec="qtrle", pixels="argb")
    film(folder / "portrait.mp4", greys(12, 120, 50), pixels="yuv420p")
    film(folder / "odd.mp4", greys(12, 63, 95), pixels="yuv444p")
    film(folder / "uneven.mkv", greys(24), milliseconds=[30 * n + 100 * (n > 9) * (n - 9) for n in range(24)])
    film(folder / "short.mp4", greys(3))
    Image.new("RGB", (64, 64)).save(folder / "picture.png")
    (folder / "pointer.mp4").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n")
    _silence(folder / "sound.mp4")
    for how in ("text", "empty", "cut short"):
        spoilt(folder / f"{how}.mp4", how)
    for file in list(folder.iterdir()):
        file.with_suffix(".txt").write_text(f"a caption of {file.stem}")
    make_clip(folder / "wordless.mp4", seconds=1)
    return folder


def _silence(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 44100
        container.mux([*stream.encode(silence), *stream.encode(None)])


def test_every_file_of_a_folder_is_used_or_left_out_with_its_reason(folder_of, tiny_wan, run_folder):
    folder = run_folder()
    preprocess.run(PreprocessSpec(model=str(tiny_wan), source=Manifest(path=str(folder_of)), **_SMALL), folder)

    used = {"usual.mp4", "ten bits.mp4", "transparent.mov", "portrait.mp4", "odd.mp4", "uneven.mkv"}
    assert set(pq.read_table(folder.parquet)["id"].to_pylist()) == used
    reasons = {row.clip: (row.reason, row.field) for row in read_ledger(folder).values() if row.state == "rejected"}
    assert reasons == {
        "short.mp4": (
            "0.1 s at 24 fps gives 2 frames at 16 fps; 5 are needed: choose fewer frames or a longer clip.",
            "frames",
        ),
        "picture.png": (
            "It is a picture, which is one frame; 5 frames are needed: choose 1 frame, or buckets.",
            "frames",
        ),
        "pointer.mp4": ("It is only a Git LFS pointer; fetch the video itself with `git lfs pull`.", None),
        "sound.mp4": ("It has no pictures, only sound or text.", None),
        "text.mp4": ("The file is damaged or not a video.", None),
        "empty.mp4": ("The file is empty.", None),
        "cut short.mp4": ("The file is damaged: its end is missing.", None),
        "wordless.mp4": ("It has no caption.", None),
    }


def test_a_streamed_dataset_leaves_rows_and_no_videos(tmp_path, make_clip, tiny_wan, run_folder, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    clip = make_clip(tmp_path / "a.mp4", seconds=1).read_bytes()
    rows = {"video": [clip, clip[: len(clip) // 2], clip], "caption": ["cat", "dog", "bird"], "name": ["a", "b", "c"]}
    (tmp_path / "data").mkdir()
    datasets.Dataset.from_dict(rows).to_parquet(str(tmp_path / "data" / "train.parquet"))
    source, folder = HuggingFaceSource(path=str(tmp_path / "data")), run_folder()

    preprocess.run(PreprocessSpec(model=str(tiny_wan), source=source, **_SMALL), folder)

    table = pq.read_table(folder.parquet).to_pylist()
    assert {row["id"]: row["caption"] for row in table} == {"a": "cat", "c": "bird"}
    assert read_ledger(folder)["b"].reason == "The file is damaged: its end is missing."
    assert [file for file in folder.path.rglob("*arrived*") if file.is_file()] == []


def test_a_split_video_becomes_rows_of_its_own(tmp_path, make_clip, tiny_wan, run_folder):
    make_clip(tmp_path / "a.mp4", seconds=1.5)
    (tmp_path / "a.txt").write_text("a square")
    spec = PreprocessSpec(
        model=str(tiny_wan), source=Manifest(path=str(tmp_path)), selection={"long_clips": "split"}, **_SMALL
    )

    preprocess.run(spec, run_folder())

    ids = sorted(pq.read_table(run_folder().parquet)["id"].to_pylist())
    assert ids == ["a.mp4#0001", "a.mp4#0002", "a.mp4#0003", "a.mp4#0004"]


def test_whatever_the_rate_length_and_size_each_frame_shows_its_own_time(tmp_path, film):
    draw = random.Random(11)
    for number in range(15):
        rate, count, fps = draw.choice([8, 12, 15, 24, 25, 30, 60]), draw.randint(8, 50), draw.choice([6, 8, 16, 24])
        size = [2 * draw.randint(16, 90), 2 * draw.randint(16, 90)]
        folder = tmp_path / f"{number}"
        folder.mkdir()
        film(folder / "a.mp4", [np.full((*size, 3), 5 * index, np.uint8) for index in range(count)], fps=rate)
        (folder / "a.txt").write_text("x")
        shape = {"height": 16 * draw.randint(1, 6), "width": 16 * draw.randint(1, 6)}
        frames = max(1, (int(count / rate * fps) - 1) // 4 * 4 + 1)
        spec = PreprocessSpec(model="m", source=Manifest(path=str(folder)), frames=frames, fps=fps, **shape)
        [clip] = clips_of(spec)
        facts, [cut] = plan(clip.path, clip, spec, FAMILIES[0])

        read = read_cut(clip.path, facts, cut, spec)

        assert tuple(read.shape) == (frames, 3, shape["height"], shape["width"])
        shown, meant = read.float().mean(dim=(1, 2, 3)).numpy() / 5, np.arange(frames) * rate / fps
        assert np.abs(shown - meant).max() <= 1.0, (rate, fps)  # half a frame, and what the codec loses
