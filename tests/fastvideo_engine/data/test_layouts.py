"""Which folder a clip's row is in: by its shape, by its side, and what lies beside the rows."""

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoTokenizer, UMT5EncoderModel

from fastvideo_engine.data import preprocess
from fastvideo_engine.data.captions import read_empty_prompt
from fastvideo_engine.data.ledger import read_ledger
from fastvideo_engine.data.loader import open_parquet
from fastvideo_engine.data.parquet import read_provenance
from fastvideo_engine.errors import DataError, SpecError
from fastvideo_engine.events import ArtifactMade, ClipRejected, Finished, Progress
from fastvideo_engine.specs import HuggingFaceSource, PreprocessSpec
from fastvideo_engine.specs.preprocess import HeldOut, Output, Selection


def test_buckets_are_folders_of_one_shape_each_and_datasets_by_themselves(
    tmp_path, make_clip, listed, run_folder, rows_in, events_of
):
    wide, tall = make_clip(tmp_path / "wide.mp4"), make_clip(tmp_path / "tall.mp4", size=(90, 160))
    short = make_clip(tmp_path / "short.mp4", seconds=0.6)
    Image.new("RGB", (300, 200), "red").save(tmp_path / "still.png")
    folder = run_folder()
    clips = [(path, path.stem) for path in (wide, tall, short, tmp_path / "still.png")]
    preprocess.run(listed(*clips, output=Output(buckets=True)), folder)

    buckets = {path.name: sorted(rows_in(path)) for path in folder.parquet.iterdir()}
    assert buckets == {
        "17x64x96": ["wide.mp4"],
        "17x112x64": ["tall.mp4"],
        "9x64x96": ["short.mp4"],
        "1x64x96": ["still.png"],
    }
    row = rows_in(folder.parquet)["tall.mp4"]
    assert (row["bucket"], row["height"], row["width"], row["vae_latent_shape"]) == (
        "17x112x64",
        112,
        64,
        [16, 5, 14, 8],
    )
    assert events_of(folder, ArtifactMade)[0].facts["buckets"] == dict.fromkeys(buckets, 1)
    assert open_parquet(folder.parquet / "9x64x96").provenance.frames == 9
    assert {len(clips) for clips in open_parquet(folder.parquet).by_shape.values()} == {1}


def test_buckets_are_refused_where_fastvideo_is_to_be_equalled(tmp_path, listed, run_folder):
    spec = listed((tmp_path / "a.mp4", "x"), output=Output(buckets=True), parity="fastvideo")
    with pytest.raises(SpecError, match=r"FastVideo has no buckets; switch output.buckets off"):
        preprocess.run(spec, run_folder())


def test_short_clips_that_are_let_in_are_apart_from_those_of_full_length(
    tmp_path, make_clip, listed, run_folder, rows_in
):
    clips = [(make_clip(tmp_path / "a.mp4"), "x"), (make_clip(tmp_path / "b.mp4", seconds=0.7), "x")]
    folder = run_folder()
    preprocess.run(listed(*clips, selection=Selection(drop_short_ratio=0)), folder)

    assert list(rows_in(folder.parquet / "17x64x96")) == ["a.mp4"]
    assert list(rows_in(folder.parquet / "9x64x96")) == ["b.mp4"]


def test_clips_held_out_stay_out_as_others_are_added(tmp_path, make_clip, listed, run_folder, rows_in, events_of):
    clips = [(make_clip(tmp_path / f"{number}.mp4"), "x") for number in range(12)]
    folder = run_folder()
    preprocess.run(listed(*clips[:8], held_out=HeldOut(share=0.4)), folder)
    first = rows_in(folder.validation_parquet)
    preprocess.run(listed(*clips, held_out=HeldOut(share=0.4)), folder)

    held_out, trained = rows_in(folder.validation_parquet), rows_in(folder.parquet)
    assert first
    assert first.items() <= held_out.items()
    assert sorted([*held_out, *trained]) == sorted(path.name for path, _ in clips)
    artifact = events_of(folder, ArtifactMade)[-1]
    assert artifact.path == "combined_parquet_dataset"
    assert (artifact.facts["clips"], artifact.facts["held_out"]) == (len(trained), len(held_out))
    assert events_of(folder)[-1].text == f"12 clips are ready, {len(held_out)} of them held out."
    assert len(open_parquet(folder.path)) == len(trained)


def test_when_nothing_is_left_to_train_on_it_is_said(tmp_path, make_clip, listed, run_folder):
    clip = make_clip(tmp_path / "a.mp4")
    with pytest.raises(DataError, match=r"All usable clips are held out; lower held_out.share"):
        preprocess.run(listed((clip, "x"), held_out=HeldOut(share=0.999)), run_folder())


def test_the_parts_of_a_long_video_are_clips_with_its_provenance(
    tmp_path, make_clip, listed, run_folder, rows_in, events_of
):
    clip, folder = make_clip(tmp_path / "a.mp4", seconds=3.5), run_folder()
    preprocess.run(listed((clip, "x"), selection=Selection(long_clips="split")), folder)

    rows = rows_in(folder.parquet)
    assert sorted(rows) == ["a.mp4#0001", "a.mp4#0002", "a.mp4#0003"]
    assert len({row["source_sha256"] for row in rows.values()}) == 1
    taken = [rows[f"a.mp4#000{number}"]["frame_indices"] for number in (1, 2, 3)]
    assert [(len(each), each[0]) for each in taken] == [(17, 0), (17, 26), (17, 51)]
    assert {(row["train_fps"], row["source_frames"], row["file_name"]) for row in rows.values()} == {(16, 84, "a.mp4")}
    assert [(event.done, event.total) for event in events_of(folder, Progress)][-1] == (1, 1)
    assert read_ledger(folder)["a.mp4#0002"].parts == 3


def test_every_row_tells_what_it_was_made_with(tmp_path, make_clip, listed, tiny_wan, run_folder, rows_in):
    folder = run_folder()
    preprocess.run(listed((make_clip(tmp_path / "a.mp4"), "x")), folder)

    row = rows_in(folder.parquet)["a.mp4"]
    [file] = folder.parquet.rglob("*.parquet")
    assert (row["model"], row["vae_fingerprint"]) == (str(tiny_wan), read_provenance(file).vae_fingerprint)
    assert (row["bucket"], row["engine_version"], len(row["source_sha256"])) == ("", "0.1.0", 64)


def test_the_empty_prompts_embedding_lies_beside_the_data(tmp_path, make_clip, listed, tiny_wan, run_folder):
    folder = run_folder()
    preprocess.run(listed((make_clip(tmp_path / "a.mp4"), "x"), output=Output(buckets=True)), folder)

    tokens = AutoTokenizer.from_pretrained(tiny_wan / "tokenizer")("", return_tensors="pt")
    with torch.no_grad():
        theirs = UMT5EncoderModel.from_pretrained(tiny_wan / "text_encoder")(**tokens).last_hidden_state[0]
    for dataset in (folder.parquet, folder.parquet / "17x64x96"):
        torch.testing.assert_close(read_empty_prompt(dataset), theirs, rtol=0, atol=1e-5)
    assert read_empty_prompt(tmp_path) is None


def test_clips_that_are_encoded_together_are_as_if_alone(tmp_path, make_clip, listed, run_folder, rows_in, tensor_in):
    clips = [(make_clip(tmp_path / f"{number}.mp4", fps=20 + number), "x") for number in range(5)]
    alone, together = run_folder("alone"), run_folder("together")
    preprocess.run(listed(*clips), alone)
    preprocess.run(listed(*clips, encoding={"batch_size": 3}), together)

    for name, row in rows_in(together.parquet).items():
        ours, theirs = tensor_in(row, "vae_latent"), tensor_in(rows_in(alone.parquet)[name], "vae_latent")
        assert np.abs(ours - theirs).max() < 1e-5


def test_in_half_precision_latents_are_near_and_stored_in_full(
    tmp_path, make_clip, listed, run_folder, rows_in, tensor_in
):
    clip = (make_clip(tmp_path / "a.mp4"), "x")
    exact, half = run_folder("exact"), run_folder("half")
    preprocess.run(listed(clip), exact)
    preprocess.run(listed(clip, encoding={"vae_precision": "bfloat16", "text_precision": "bfloat16"}), half)

    ours, theirs = (rows_in(folder.parquet)["a.mp4"] for folder in (half, exact))
    for tensor in ("vae_latent", "text_embedding"):
        difference = np.abs(tensor_in(ours, tensor) - tensor_in(theirs, tensor)).max()
        assert 0 < difference < 0.05 * np.abs(tensor_in(theirs, tensor)).max()


def test_rows_of_a_hugging_face_dataset_are_preprocessed_and_not_kept(
    tmp_path, make_clip, spoilt, tiny_wan, run_folder, rows_in, events_of
):
    files = [make_clip(tmp_path / f"{number}.mp4") for number in range(3)]
    bad = spoilt(tmp_path / "bad.mp4", "text")
    rows = {
        "video": [file.read_bytes() for file in (*files, bad)],
        "caption": ["a", "b", "", "d"],
        "name": list("wxyz"),
    }
    datasets.Dataset.from_dict(rows).to_parquet(str(tmp_path / "hub" / "data" / "train.parquet"))
    source = HuggingFaceSource(path=str(tmp_path / "hub"))
    folder = run_folder()
    spec = PreprocessSpec(model=str(tiny_wan), source=source, height=64, width=96, frames=17, fps=16)
    preprocess.run(spec, folder)
    before = rows_in(folder.parquet)
    preprocess.run(spec, folder)

    assert rows_in(folder.parquet) == before
    assert sorted(row["caption"] for row in before.values()) == ["a", "b"]
    assert sorted(event.reason for event in events_of(folder, ClipRejected)) == [
        "It has no caption.",
        "The file is damaged or not a video.",
    ]
    assert [event.text for event in events_of(folder, Finished)] == ["2 clips are ready, 2 were left out."] * 2
    assert not folder.fetched.exists()
