"""Videos arrive from datasets in every layout people publish, once each, and a bad row costs only itself."""

import csv
import json
import shutil

import datasets
import pyarrow.parquet as pq
import pytest

from fastvideo_engine.data import import_dataset
from fastvideo_engine.errors import DataError
from fastvideo_engine.events import ClipImported, ClipRejected, Finished, Progress, Stopped
from fastvideo_engine.specs import ImportSpec


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def clips(tmp_path, make_clip):
    return [make_clip(tmp_path / "made" / f"{name}.mp4", seconds=0.5) for name in ("a", "b")]


@pytest.fixture
def imported(run_folder, events_of):
    """Import into a fresh folder; return what each event says, and the folder."""

    def make(dataset, **columns):
        folder = run_folder()
        import_dataset.run(ImportSpec(dataset=str(dataset), **columns), folder)
        return {event.name: event.caption for event in events_of(folder, ClipImported)}, folder

    return make


def _video_dataset(clips, captions):
    rows = {"video": [{"bytes": clip.read_bytes(), "path": clip.name} for clip in clips], "caption": captions}
    return datasets.Dataset.from_dict(rows).cast_column("video", datasets.Video(decode=False))


def _folder_with_videos(folder, clips):
    (folder / "videos").mkdir(parents=True)
    for clip in clips:
        shutil.copy(clip, folder / "videos" / clip.name)
    return folder


def test_a_saved_dataset_with_splits(tmp_path, clips, imported, events_of):
    saved = datasets.DatasetDict(train=_video_dataset(clips, ["cat", "dog"]), test=_video_dataset(clips[:1], ["x"]))
    saved.save_to_disk(str(tmp_path / "saved"))

    found, folder = imported(tmp_path / "saved")

    assert found == {"a.mp4": "cat", "b.mp4": "dog"}
    assert (folder.clips / "a.mp4").read_bytes() == clips[0].read_bytes()
    assert [(event.done, event.total) for event in events_of(folder, Progress)] == [(1, 2), (2, 2)]
    assert events_of(folder, Finished)[0].text == "2 clips were imported."


def test_parquet_whose_video_column_would_be_decoded(tmp_path, clips, imported):
    (tmp_path / "data").mkdir()
    table = _video_dataset(clips, [["", "cat"], ["dog", "x"]]).data.table
    info = {
        "info": {
            "features": {
                "video": {"_type": "Video"},
                "caption": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "List"},
            }
        }
    }
    pq.write_table(
        table.replace_schema_metadata({"huggingface": json.dumps(info)}), tmp_path / "data" / "train.parquet"
    )

    assert imported(tmp_path / "data")[0] == {"a.mp4": "cat", "b.mp4": "dog"}


def test_bare_bytes_get_numbered_names(tmp_path, clips, imported):
    rows = {"clip": [clip.read_bytes() for clip in clips], "text": ["cat", "dog"]}
    (tmp_path / "data").mkdir()
    datasets.Dataset.from_dict(rows).to_parquet(str(tmp_path / "data" / "train.parquet"))

    found, _ = imported(tmp_path / "data", video_column="clip", caption_column="text")

    assert found == {"clip-000001.mp4": "cat", "clip-000002.mp4": "dog"}


def test_a_folder_of_videos_with_metadata(tmp_path, clips, imported):
    folder = tmp_path / "data"
    folder.mkdir()
    lines = [{"file_name": clip.name, "text": f"caption of {clip.stem}"} for clip in clips]
    for clip in clips:
        shutil.copy(clip, folder / clip.name)
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))

    assert imported(folder, caption_column="text")[0] == {"a.mp4": "caption of a", "b.mp4": "caption of b"}


def test_a_csv_file_beside_its_videos(tmp_path, clips, imported):
    folder = _folder_with_videos(tmp_path / "data", clips)
    with (folder / "listing.csv").open("w") as file:
        csv.writer(file).writerows([["video", "caption"], ["videos/a.mp4", "cat"], ["videos/b.mp4", "dog"]])

    assert imported(folder)[0] == {"a.mp4": "cat", "b.mp4": "dog"}


def test_fastvideos_merged_layout_by_its_own_column_names(tmp_path, clips, imported):
    folder = _folder_with_videos(tmp_path / "data", clips)
    (folder / "videos2caption.json").write_text(
        json.dumps([{"path": "a.mp4", "cap": ["cat"]}, {"path": "b.mp4", "cap": ["dog"]}])
    )

    assert imported(folder, video_column="path", caption_column="cap")[0] == {"a.mp4": "cat", "b.mp4": "dog"}


def test_bad_rows_are_left_out_with_their_reason(tmp_path, clips, imported, events_of):
    folder = _folder_with_videos(tmp_path / "data", clips[:1])
    (folder / "videos" / "text.mp4").write_text("not a video\n" * 50)
    paths = [
        "videos/a.mp4",
        "../made/b.mp4",
        str(clips[1]),
        "videos/no.mp4",
        None,
        "http://localhost/x.mp4",
        "videos/text.mp4",
    ]
    (folder / "train.json").write_text(json.dumps([{"video": path, "caption": "cat"} for path in paths]))

    found, run_folder = imported(folder)

    assert found == {"a.mp4": "cat"}
    assert {event.clip: event.reason for event in events_of(run_folder, ClipRejected)} == {
        "row 2": "Its path leads out of the dataset.",
        "row 3": "Its path leads out of the dataset.",
        "row 4": "Its file videos/no.mp4 is missing from the dataset.",
        "row 5": "The row has no video.",
        "row 6": "Its path leads out of the dataset.",
        "row 7": "The file is damaged or not a video.",
    }
    assert [file.name for file in run_folder.clips.iterdir()] == ["a.mp4"]


def test_two_videos_of_one_name_get_two_files(tmp_path, clips, imported):
    _video_dataset([clips[0], clips[0]], ["cat", "dog"]).save_to_disk(str(tmp_path / "saved"))

    assert imported(tmp_path / "saved")[0] == {"a.mp4": "cat", "a-2.mp4": "dog"}


def test_a_second_start_brings_only_what_is_missing_even_when_clips_were_moved_on(tmp_path, clips, imported, events_of):
    _video_dataset(clips, ["cat", "dog"]).save_to_disk(str(tmp_path / "saved"))
    _, folder = imported(tmp_path / "saved", limit=1)
    (folder.clips / "a.mp4").unlink()  # taken into a dataset

    imported(tmp_path / "saved")

    assert [event.name for event in events_of(folder, ClipImported)] == ["a.mp4", "b.mp4"]
    assert [file.name for file in folder.clips.iterdir()] == ["b.mp4"]


def test_a_stop_is_obeyed_between_rows(tmp_path, clips, run_folder, events_of):
    _video_dataset(clips, ["cat", "dog"]).save_to_disk(str(tmp_path / "saved"))
    folder = run_folder()
    folder.ask_to_stop()

    import_dataset.run(ImportSpec(dataset=str(tmp_path / "saved")), folder)

    assert [event.text for event in events_of(folder, Stopped)] == ["Stopped; 0 clips were imported."]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"caption_column": "cap"}, r"has no column `cap`; its columns are video, caption\."),
        ({"video_column": "vid"}, r"has no column `vid`; its columns are video, caption\."),
        ({"split": "test"}, r"has no split `test`; its splits are train\."),
        ({"dataset": "./nowhere"}, r"There is no folder \./nowhere; check the path"),
    ],
)
@pytest.mark.parametrize("layout", ["saved", "parquet"])
def test_what_does_not_exist_is_answered_with_what_does(tmp_path, clips, imported, wrong, reason, layout):
    (tmp_path / "data").mkdir()
    dataset = datasets.DatasetDict(train=_video_dataset(clips, ["cat", "dog"]))
    if layout == "saved":
        dataset.save_to_disk(str(tmp_path / "data"))
    else:
        dataset["train"].to_parquet(str(tmp_path / "data" / "train.parquet"))

    with pytest.raises(DataError, match=reason):
        imported(**{"dataset": tmp_path / "data", **wrong})


def test_a_hub_that_cannot_be_reached_is_said(imported, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    with pytest.raises(DataError, match=r"owner/name could not be fetched from Hugging Face .*; check the connection"):
        imported("owner/name")
