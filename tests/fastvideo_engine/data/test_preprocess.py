"""Preprocessing gives what FastVideo gives, loses no clip but the bad ones, and goes on where it was stopped."""

import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from fastvideo_engine.data import preprocess
from fastvideo_engine.data.ledger import read_ledger
from fastvideo_engine.data.parquet import read_provenance
from fastvideo_engine.errors import DataError, SpecError
from fastvideo_engine.events import ArtifactMade, ClipRejected, Finished, Phase, Progress, Stopped
from fastvideo_engine.specs import MergedFolder, PreprocessSpec

_SMALL = {"height": 64, "width": 96, "frames": 17, "fps": 16}


def _rows(folder):
    return {row["id"]: row for row in pq.read_table(folder.parquet).to_pylist()}


def _tensor(row, name):
    return np.frombuffer(row[f"{name}_bytes"], "<f4").reshape(row[f"{name}_shape"])


def test_the_parquet_equals_what_fastvideo_wrote(fastvideo_fixtures, merged_dataset, tiny_wan, run_folder):
    folder = run_folder()
    source = MergedFolder(path=str(merged_dataset))
    preprocess.run(PreprocessSpec(model=str(tiny_wan), source=source, parity="fastvideo", **_SMALL), folder)

    theirs = {row["id"]: row for row in pq.read_table(fastvideo_fixtures / "t2v").to_pylist()}
    ours = _rows(folder)
    assert ours.keys() == theirs.keys()
    for name, row in theirs.items():
        for tensor in ("vae_latent", "text_embedding"):
            assert np.abs(_tensor(ours[name], tensor) - _tensor(row, tensor)).max() < 1e-5, (name, tensor)
        for column in (column for column in row if not column.endswith("_bytes")):
            # FastVideo's list of clips has the rates rounded to eight decimals; the files have 30000/1001.
            same = pytest.approx(row[column], rel=1e-9) if column in ("fps", "duration_sec") else row[column]
            assert ours[name][column] == same, (name, column)


def test_what_is_left_out_is_said_and_the_rest_goes_on(tmp_path, make_clip, spoilt, listed, run_folder, events_of):
    good, short = make_clip(tmp_path / "good.mp4"), make_clip(tmp_path / "short.mp4", seconds=0.5)
    bad = {how: spoilt(tmp_path / f"{how}.mp4", how) for how in ("text", "empty", "cut short", "damaged in the middle")}
    folder = run_folder()
    clips = [(bad["text"], "x"), (good, "a square"), (short, "x"), (good, " "), (tmp_path / "no.mp4", "x")]
    preprocess.run(listed(*clips, *((bad[how], "x") for how in bad if how != "text"), max_bad_share=1), folder)

    assert list(_rows(folder)) == ["good.mp4"]
    assert {event.clip: event.reason for event in events_of(folder, ClipRejected)} == {
        "text.mp4": "The file is damaged or not a video.",
        "short.mp4": "0.5 s at 24 fps gives 8 frames at 16 fps; 17 are needed: choose fewer frames or a longer clip.",
        "good (2).mp4": "It has no caption.",
        "no.mp4": "The file is missing.",
        "empty.mp4": "The file is empty.",
        "cut short.mp4": "The file is damaged: its end is missing.",
        "damaged in the middle.mp4": "The file is damaged: it cannot be decoded.",
    }
    assert events_of(folder)[-1].text == "1 clip is ready, 7 were left out."
    [artifact] = events_of(folder, ArtifactMade)
    assert (artifact.path, artifact.facts["clips"], artifact.facts["rejected"]) == ("combined_parquet_dataset", 1, 7)
    assert artifact.facts["latent_shape"] == [16, 5, 8, 12]


def test_a_second_start_encodes_nothing_again_and_says_the_same(tmp_path, make_clip, listed, run_folder, events_of):
    spec = listed((make_clip(tmp_path / "a.mp4"), "x"), (tmp_path / "no.mp4", "x"))
    folder = run_folder()
    preprocess.run(spec, folder)
    files = {file: file.stat().st_mtime_ns for file in folder.parquet.rglob("*.parquet")}

    preprocess.run(spec, folder)

    assert {file: file.stat().st_mtime_ns for file in folder.parquet.rglob("*.parquet")} == files
    assert len(events_of(folder, ClipRejected)) == 1
    assert {event.text for event in events_of(folder, Finished)} == {"1 clip is ready, 1 was left out."}


def test_a_stopped_run_keeps_what_it_has_and_goes_on_later(tmp_path, make_clip, listed, run_folder, events_of):
    spec = listed(*((make_clip(tmp_path / f"{number}.mp4"), "x") for number in range(3)))
    folder = run_folder()
    folder.ask_to_stop()
    preprocess.run(spec, folder)
    assert [event.text for event in events_of(folder, Stopped)] == [
        "Stopped; 0 of 3 clips are done, the rest can follow."
    ]

    folder.forget_stop()
    preprocess.run(spec, folder)

    assert sorted(_rows(folder)) == ["0.mp4", "1.mp4", "2.mp4"]
    assert events_of(folder)[-1].text == "3 clips are ready."


def test_a_caption_shared_by_clips_is_encoded_once(tmp_path, make_clip, listed, run_folder, events_of):
    clip = make_clip(tmp_path / "a.mp4")
    folder = run_folder()
    preprocess.run(listed((clip, "x"), (clip, "x"), (clip, "y")), folder)

    assert "Encoding 2 captions" in [event.title for event in events_of(folder, Phase)]
    assert sorted(_rows(folder)) == ["a (2).mp4", "a (3).mp4", "a.mp4"]
    assert {row["file_name"] for row in _rows(folder).values()} == {"a.mp4"}
    assert not (folder.path / "text_embeddings").exists()


def test_progress_counts_every_clip_of_the_list(tmp_path, make_clip, listed, run_folder, events_of):
    folder = run_folder()
    preprocess.run(listed((make_clip(tmp_path / "a.mp4"), "x"), (tmp_path / "no.mp4", "x")), folder)

    told = [(event.done, event.total) for event in events_of(folder, Progress)]
    assert (told[0], told[-1]) == ((1, 2), (2, 2))


def test_the_parquet_tells_what_it_was_made_with(tmp_path, make_clip, listed, tiny_wan, run_folder):
    folder = run_folder()
    preprocess.run(listed((make_clip(tmp_path / "a.mp4"), "x")), folder)

    [file] = folder.parquet.rglob("*.parquet")
    made_with = read_provenance(file)
    assert (made_with.model, made_with.height, made_with.width) == (str(tiny_wan), 64, 96)
    assert (made_with.frames, made_with.train_fps) == (17, 16)
    assert file.relative_to(folder.parquet).match("worker_0/data_chunk_*.parquet")


def test_when_no_clip_can_be_used_the_first_reason_is_said(tmp_path, listed, run_folder):
    with pytest.raises(DataError) as failure:
        preprocess.run(listed((tmp_path / "no.mp4", "x"), (tmp_path / "neither.mp4", "x")), run_folder())

    assert str(failure.value) == "None of the 2 clips can be used. The first, no.mp4: The file is missing."


def test_a_size_that_the_family_cannot_take_is_refused_before_anything_is_read(listed, run_folder):
    with pytest.raises(SpecError, match=r"divisible by 16.*4k\+1"):
        preprocess.run(listed(height=70, frames=16), run_folder())


def test_rows_lost_by_a_crash_come_again(tmp_path, make_clip, listed, run_folder):
    spec = listed(*((make_clip(tmp_path / f"{number}.mp4"), "x") for number in range(2)))
    folder = run_folder()
    preprocess.run(spec, folder)
    shutil.rmtree(folder.ledger)  # the crash came between the file and the ledger

    preprocess.run(spec, folder)

    assert pq.read_table(folder.parquet)["id"].to_pylist() == ["0.mp4", "1.mp4"]
    assert sorted(read_ledger(folder)) == ["0.mp4", "1.mp4"]
