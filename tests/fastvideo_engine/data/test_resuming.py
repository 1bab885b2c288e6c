"""The same command in the same folder does what is new or changed, and nothing else, wherever it was cut off."""

import hashlib
import os
import shutil

import pytest
from diffusers import AutoencoderKLWan

from fastvideo_engine.data import preprocess
from fastvideo_engine.data.ledger import read_ledger
from fastvideo_engine.errors import DataError, SpecError
from fastvideo_engine.events import ArtifactMade, ClipRejected, Finished, Note, Phase


@pytest.fixture
def clips(tmp_path, make_clip):
    """Three good clips with captions."""
    return [(make_clip(tmp_path / f"{name}.mp4"), f"clip {name}") for name in "abc"]


def _files(folder):
    return {file: file.stat().st_mtime_ns for file in folder.path.rglob("*.parquet")}


def _encoded(events_of, folder):
    return [event.title for event in events_of(folder, Phase) if event.title.startswith("Encoding")]


def test_added_clips_cost_themselves_only(tmp_path, make_clip, listed, clips, run_folder, events_of, rows_in):
    folder = run_folder()
    preprocess.run(listed(*clips), folder)
    before = _files(folder)

    more = [(make_clip(tmp_path / f"{number}.mp4"), "clip a") for number in range(2)]
    preprocess.run(listed(*more, *clips), folder)

    assert sorted(rows_in(folder.parquet)) == ["0.mp4", "1.mp4", "a.mp4", "b.mp4", "c.mp4"]
    assert before.items() <= _files(folder).items()
    assert _encoded(events_of, folder)[2:] == ["Encoding 1 caption", "Encoding 2 clips"]
    assert {name: row.attempts for name, row in read_ledger(folder).items()} == dict.fromkeys(
        ["0.mp4", "1.mp4", "a.mp4", "b.mp4", "c.mp4"], 1
    )


def test_a_changed_caption_or_file_is_done_again_and_replaces_the_old_row(
    tmp_path, make_clip, listed, clips, run_folder, events_of, rows_in
):
    folder = run_folder()
    preprocess.run(listed(*clips), folder)
    before = rows_in(folder.parquet)
    make_clip(clips[1][0], size=(128, 128))

    preprocess.run(listed((clips[0][0], "another"), *clips[1:]), folder)

    after = rows_in(folder.parquet)
    assert (sorted(after), after["a.mp4"]["caption"]) == (["a.mp4", "b.mp4", "c.mp4"], "another")
    assert after["b.mp4"]["source_sha256"] != before["b.mp4"]["source_sha256"]
    assert after["c.mp4"] == before["c.mp4"]
    assert _encoded(events_of, folder)[-1] == "Encoding 2 clips"
    assert [event.text for event in events_of(folder, Note)] == [
        "2 clips changed since the last time and will be done again."
    ]
    assert {name: row.attempts for name, row in read_ledger(folder).items()} == {"a.mp4": 2, "b.mp4": 2, "c.mp4": 1}


def test_a_file_that_was_only_touched_or_is_gone_is_not_done_again(listed, clips, run_folder, events_of):
    folder = run_folder()
    preprocess.run(listed(*clips), folder)
    before = _files(folder)
    os.utime(clips[0][0], (1, 1))
    clips[1][0].unlink()

    preprocess.run(listed(*clips), folder)

    assert _files(folder) == before
    assert _encoded(events_of, folder) == ["Encoding 3 captions", "Encoding 3 clips"]
    assert read_ledger(folder)["a.mp4"].stamp.endswith("-1000000000")


def test_a_clip_that_left_the_list_leaves_the_parquet(listed, clips, run_folder, events_of, rows_in):
    folder = run_folder()
    preprocess.run(listed(*clips), folder)

    preprocess.run(listed(*clips[1:]), folder)

    assert sorted(rows_in(folder.parquet)) == sorted(read_ledger(folder)) == ["b.mp4", "c.mp4"]
    assert [event.text for event in events_of(folder, Note)] == ["1 clip left the list and so the Parquet."]


def test_a_clip_that_was_left_out_is_looked_at_again_once_it_is_mended(
    tmp_path, make_clip, listed, clips, run_folder, events_of, rows_in
):
    folder = run_folder()
    spec = listed(*clips, (tmp_path / "d.mp4", "x"))
    preprocess.run(spec, folder)
    assert read_ledger(folder)["d.mp4"].reason == "The file is missing."
    make_clip(tmp_path / "d.mp4")

    preprocess.run(spec, folder)

    assert sorted(rows_in(folder.parquet)) == ["a.mp4", "b.mp4", "c.mp4", "d.mp4"]
    assert (read_ledger(folder)["d.mp4"].state, read_ledger(folder)["d.mp4"].attempts) == ("written", 2)


def test_changed_settings_are_refused_by_name(listed, clips, run_folder):
    folder = run_folder()
    preprocess.run(listed(*clips), folder)

    with pytest.raises(SpecError, match=r"frames was 17, now 13; selection.speed_factor was 1.0, now 2.0\); choose"):
        preprocess.run(listed(*clips, frames=13, selection={"speed_factor": 2}), folder)
    preprocess.run(listed(*clips, decoding={"workers": 1}, processes=2, output={"samples_per_file": 4}), folder)


def test_a_changed_vae_is_refused(tmp_path, make_clip, listed, clips, tiny_wan, run_folder):
    model, folder = shutil.copytree(tiny_wan, tmp_path / "model"), run_folder()
    preprocess.run(listed(*clips, model=model), folder)
    vae = AutoencoderKLWan.from_pretrained(model / "vae")
    vae.quant_conv.bias.data += 1
    vae.save_pretrained(model / "vae")

    with pytest.raises(SpecError, match="clips that another VAE encoded"):
        preprocess.run(listed(*clips, (make_clip(tmp_path / "d.mp4"), "x"), model=model), folder)


def test_a_clip_left_out_tells_which_field_would_let_it_in(tmp_path, make_clip, listed, clips, run_folder):
    folder = run_folder()
    preprocess.run(listed(*clips, (make_clip(tmp_path / "short.mp4", seconds=0.5), "x")), folder)

    row = read_ledger(folder)["short.mp4"]
    assert (row.state, row.field, row.attempts) == ("rejected", "frames", 1)
    good = read_ledger(folder)["a.mp4"]
    assert len(good.content) == len(good.input) == 64
    assert (good.row, len(good.settings), good.file.split("/")[0]) == (0, 16, "combined_parquet_dataset")


def test_too_many_bad_clips_end_the_job_before_a_model_is_loaded(tmp_path, listed, clips, run_folder, events_of):
    bad = [(tmp_path / f"missing {number}.mp4", "x") for number in range(4)]
    folder = run_folder()

    with pytest.raises(DataError, match=r"4 clips of 7 cannot be used.*max_bad_share \(0.5\).*The file is missing"):
        preprocess.run(listed(*clips, *bad), folder)
    assert events_of(folder, ArtifactMade) == []
    assert _encoded(events_of, folder) == []

    preprocess.run(listed(*clips, *bad, max_bad_share=0.6), folder)
    assert [event.text for event in events_of(folder, Finished)] == ["3 clips are ready, 4 were left out."]
    assert len(events_of(folder, ClipRejected)) == 4


def test_a_failure_on_the_way_keeps_what_was_encoded_before_it(tmp_path, listed, clips, run_folder, rows_in):
    folder = run_folder()
    spec = listed(*clips, decoding={"workers": 0})
    (folder.path / "text_embeddings").mkdir()
    spoilt = folder.path / "text_embeddings" / f"{hashlib.sha256(b'clip c').hexdigest()}.npy"
    spoilt.write_bytes(b"")

    with pytest.raises(EOFError):
        preprocess.run(spec, folder)
    assert sorted(rows_in(folder.parquet)) == sorted(read_ledger(folder)) == ["a.mp4", "b.mp4"]

    spoilt.unlink()
    preprocess.run(spec, folder)
    assert sorted(rows_in(folder.parquet)) == ["a.mp4", "b.mp4", "c.mp4"]
