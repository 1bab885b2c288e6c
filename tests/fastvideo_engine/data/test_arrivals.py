"""Videos of Hugging Face datasets come one by one, in every layout people publish, and none is kept."""

import json
import shutil
import tarfile

import datasets
import pytest
from PIL import Image

from fastvideo_engine.data.arrivals import arriving
from fastvideo_engine.data.sources import clips_of
from fastvideo_engine.errors import ClipError, DataError
from fastvideo_engine.media import probe
from fastvideo_engine.specs import HuggingFaceSource, PreprocessSpec

_PICTURES = datasets.Features({"image": datasets.Image(), "text": datasets.Value("string")})


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def clips(tmp_path, make_clip):
    """Two clips that their lengths tell apart."""
    return [make_clip(tmp_path / "made" / f"{name}.mp4", seconds=seconds) for name, seconds in (("a", 0.5), ("b", 1))]


@pytest.fixture
def arrived(tmp_path):
    """Read a dataset as preprocessing does: what each clip is called and says, and how many frames its file has."""

    def read(dataset, held_out=None, **columns):
        source = HuggingFaceSource(path=str(dataset), **columns)
        spec = PreprocessSpec(model="m", source=source, held_out={"split": held_out})
        return [
            (arrival.clip.name, arrival.clip.caption, probe(arrival.file()).frames, arrival.clip.is_held_out)
            for arrival in arriving(spec, clips_of(spec), tmp_path / "scratch")
        ]

    return read


def _dataset(clips, **columns):
    rows = {"video": [{"bytes": clip.read_bytes(), "path": clip.name} for clip in clips], **columns}
    return datasets.Dataset.from_dict(rows).cast_column("video", datasets.Video(decode=False))


def _parquet(folder, dataset, name="train"):
    (folder / "data").mkdir(exist_ok=True)
    dataset.to_parquet(str(folder / "data" / f"{name}-00000-of-00001.parquet"))
    return folder / "data"


@pytest.mark.parametrize("streaming", [True, False])
def test_parquet_with_a_video_column(tmp_path, clips, arrived, streaming):
    folder = _parquet(tmp_path, _dataset(clips, caption=["cat", "dog"]))

    assert arrived(folder, streaming=streaming) == [
        ("train-0000000", "cat", 12, False),
        ("train-0000001", "dog", 24, False),
    ]


def test_a_saved_dataset(tmp_path, clips, arrived):
    _dataset(clips, prompt=[["cat"], ["dog"]], name=["one", "two"]).save_to_disk(str(tmp_path / "saved"))

    assert arrived(tmp_path / "saved") == [("one", "cat", 12, False), ("two", "dog", 24, False)]


def test_bare_bytes_under_names_of_ones_own(tmp_path, clips, arrived):
    rows = {"film": [clip.read_bytes() for clip in clips], "what_it_shows": ["cat", "dog"], "text": ["x", "y"]}
    folder = _parquet(tmp_path, datasets.Dataset.from_dict(rows))

    found = arrived(folder, video_column="film", caption_column="what_it_shows")

    assert [(caption, frames) for _, caption, frames, _ in found] == [("cat", 12), ("dog", 24)]


def test_pictures_of_an_image_column(tmp_path, arrived):
    pictures = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    rows = datasets.Dataset.from_dict({"image": pictures, "text": ["red", "blue"]}, features=_PICTURES)
    folder = _parquet(tmp_path, rows)

    assert [(caption, frames) for _, caption, frames, _ in arrived(folder)] == [("red", 1), ("blue", 1)]


def test_paths_in_json_lines(tmp_path, clips, arrived):
    (tmp_path / "data" / "videos").mkdir(parents=True)
    for clip in clips:
        shutil.copy(clip, tmp_path / "data" / "videos")
    lines = [{"path": "a.mp4", "cap": "cat", "fps": "wrong"}, {"path": "videos/b.mp4", "cap": "dog", "fps": None}]
    (tmp_path / "data" / "train.jsonl").write_text("\n".join(map(json.dumps, lines)))

    assert arrived(tmp_path / "data") == [("a.mp4", "cat", 12, False), ("videos/b.mp4", "dog", 24, False)]


def test_a_folder_of_videos_with_metadata(tmp_path, clips, arrived):
    (tmp_path / "data").mkdir()
    for clip in clips:
        shutil.copy(clip, tmp_path / "data")
    lines = [{"file_name": clip.name, "text": f"caption of {clip.stem}"} for clip in clips]
    (tmp_path / "data" / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))

    found = arrived(tmp_path / "data")

    assert [(caption, frames) for _, caption, frames, _ in found] == [("caption of a", 12), ("caption of b", 24)]


def test_web_dataset_archives(tmp_path, clips, arrived):
    (tmp_path / "data").mkdir()
    with tarfile.open(tmp_path / "data" / "train-0000.tar", "w") as archive:
        for clip, caption in zip(clips, ("cat", "dog"), strict=True):
            (clip.with_suffix(".json")).write_text(json.dumps({"caption": caption}))
            archive.add(clip, clip.name)
            archive.add(clip.with_suffix(".json"), f"{clip.stem}.json")

    assert [(name, caption, frames) for name, caption, frames, _ in arrived(tmp_path / "data")] == [
        ("a", "cat", 12),
        ("b", "dog", 24),
    ]


@pytest.mark.parametrize("held_out", ["automatic", "validation"])
def test_a_split_is_held_out(tmp_path, clips, arrived, held_out):
    _parquet(tmp_path, _dataset(clips[:1], caption=["cat"]))
    folder = _parquet(tmp_path, _dataset(clips[1:], caption=["dog"]), "validation")

    assert [(caption, is_held_out) for _, caption, _, is_held_out in arrived(folder, held_out)] == [
        ("cat", False),
        ("dog", True),
    ]


def test_a_validation_split_is_not_missed_where_none_was_named(tmp_path, clips, arrived):
    folder = _parquet(tmp_path, _dataset(clips, caption=["cat", "dog"]))

    assert len(arrived(folder, "automatic")) == 2
    with pytest.raises(DataError, match="has no split `validation`; its splits are train"):
        arrived(folder, "validation")


def test_columns_that_cannot_be_guessed_are_asked_for(tmp_path, clips, arrived):
    folder = _parquet(tmp_path, _dataset(clips, wording=["cat", "dog"]))

    with pytest.raises(
        DataError, match=r"no column that looks like a caption; its columns are video, wording\. Set so"
    ):
        arrived(folder)


def test_no_more_than_is_held_lies_on_the_disk(tmp_path, clips):
    folder = _parquet(tmp_path, _dataset(clips * 6, caption=["x"] * 12))
    spec = PreprocessSpec(model="m", source=HuggingFaceSource(path=str(folder)))
    held, most = [], 0

    for arrival in arriving(spec, clips_of(spec), tmp_path / "scratch"):
        arrival.file()
        held = [*held[-2:], arrival]
        most = max(most, len(list((tmp_path / "scratch").iterdir())))
    held.clear()
    del arrival

    assert most <= 4
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize("streaming", [True, False])
def test_only_the_rows_asked_for_come(tmp_path, clips, streaming):
    folder = _parquet(tmp_path, _dataset(clips * 3, caption=list("abcdef")))
    spec = PreprocessSpec(model="m", source=HuggingFaceSource(path=str(folder), streaming=streaming))

    wanted = clips_of(spec)[3::2]
    found = [(each.clip.caption, probe(each.file()).frames) for each in arriving(spec, wanted, tmp_path / "scratch")]

    assert found == [("d", 24), ("f", 24)]


def test_a_row_without_a_video_or_with_one_elsewhere_costs_only_itself(tmp_path, clips, make_clip):
    (tmp_path / "data").mkdir()
    shutil.copy(clips[0], tmp_path / "data")
    rows = [{"video": path, "caption": "x"} for path in (None, "../made/b.mp4", "no.mp4", "a.mp4")]
    (tmp_path / "data" / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    spec = PreprocessSpec(model="m", source=HuggingFaceSource(path=str(tmp_path / "data")))
    reasons = []

    for arrival in arriving(spec, clips_of(spec), tmp_path / "scratch"):
        try:
            arrival.file()
        except ClipError as error:
            reasons.append(str(error))

    assert reasons == [
        "The row has no video.",
        "Its path leads out of the dataset.",
        "Its file no.mp4 is missing from the dataset.",
    ]
