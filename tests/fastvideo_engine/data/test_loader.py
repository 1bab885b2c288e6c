"""Reading Parquet: FastVideo's files as they are, a new order each epoch, and sentences for what cannot be read."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from fastvideo_engine.data.loader import clip_at, first_frame_tensors, open_parquet
from fastvideo_engine.errors import DataError
from fastvideo_engine.families import family_of_folder


def _row(shape=(16, 2, 4, 4), text=(3, 32), **changes):
    rng = np.random.default_rng(0)
    row = {"caption": "a ball", "vae_latent_shape": list(shape), "text_embedding_shape": list(text)}
    row["vae_latent_bytes"] = rng.standard_normal(shape, np.float32).tobytes()
    row["text_embedding_bytes"] = rng.standard_normal(text, np.float32).tobytes()
    return row | changes


def _write(path: Path, *rows: dict) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


@pytest.mark.parametrize("workload", ["t2v", "i2v"])
def test_files_written_by_fastvideo_are_read_as_they_are(fastvideo_fixtures, workload):
    folder = fastvideo_fixtures / workload
    clips = open_parquet(folder)
    stored = pq.read_table(folder / "data_chunk_0.parquet").to_pylist()
    assert (len(clips), clips.latent_shape, clips.text_width, clips.provenance) == (8, (16, 5, 8, 12), 32, None)
    for number, row in enumerate(stored):
        latent, text, caption, *of_first_frame = clips.read(number)
        assert (latent.numpy().tobytes(), latent.shape) == (row["vae_latent_bytes"], (16, 5, 8, 12))
        assert (text.numpy().tobytes(), caption) == (row["text_embedding_bytes"], row["caption"])
        assert latent.dtype == text.dtype == torch.float32
        assert of_first_frame == [None, None]


def test_what_an_image_to_video_model_reads_of_first_frames_is_read_as_stored(fastvideo_fixtures, tiny_wan_i2v):
    folder = fastvideo_fixtures / "i2v"
    clips = open_parquet(folder, first_frame_tensors(family_of_folder(tiny_wan_i2v)))
    assert clips.clip_feature_shape == (257, 32)
    for number, row in enumerate(pq.read_table(folder / "data_chunk_0.parquet").to_pylist()):
        clip = clips.read(number)
        assert (clip.clip_feature.numpy().tobytes(), clip.clip_feature.shape) == (row["clip_feature_bytes"], (257, 32))
        assert clip.first_frame_latent.numpy().tobytes() == row["first_frame_latent_bytes"]
        assert clip.first_frame_latent.shape == clip.latent.shape


def test_parquet_of_another_workload_is_refused_for_an_image_to_video_model(
    fastvideo_fixtures, tiny_wan, tiny_wan_i2v, tmp_path
):
    needed = first_frame_tensors(family_of_folder(tiny_wan_i2v))
    assert first_frame_tensors(family_of_folder(tiny_wan)) == ()
    with pytest.raises(DataError, match=r"has not what this model reads of each clip's first frame; preprocess .* i2v"):
        open_parquet(fastvideo_fixtures / "t2v", needed)
    # Columns of a model without CLIP are there and empty.
    rows = pq.read_table(fastvideo_fixtures / "i2v").to_pylist()
    _write(tmp_path / "x.parquet", *(row | {"clip_feature_shape": [], "clip_feature_bytes": b""} for row in rows))
    with pytest.raises(DataError, match="has not what this model reads"):
        open_parquet(tmp_path, needed)
    _write(tmp_path / "x.parquet", *(row | {"first_frame_latent_shape": [16, 1, 8, 12]} for row in rows))
    with pytest.raises(DataError, match="have a first_frame_latent of another shape"):
        open_parquet(tmp_path, needed)


def test_folders_within_are_searched_but_hidden_and_unfinished_files_are_not(tmp_path):
    _write(tmp_path / "b" / "worker_0" / "x.parquet", _row(caption="second"))
    _write(tmp_path / "a" / "x.parquet", _row(caption="first"))
    _write(tmp_path / ".cache" / "x.parquet", _row())
    (tmp_path / "a" / ".y.parquet").write_bytes(b"half")
    (tmp_path / "a" / "z.parquet.part").write_bytes(b"half")
    clips = open_parquet(tmp_path)
    assert [clips.read(number)[2] for number in range(len(clips))] == ["first", "second"]


def test_each_epoch_has_every_clip_once_in_another_order():
    epochs = [[clip_at(position, 10, seed=1) for position in range(start, start + 10)] for start in (0, 10, 20)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert epochs[0] != [clip_at(position, 10, seed=2) for position in range(10)]


def test_fewer_clips_than_a_batch_come_round_again():
    assert sorted(clip_at(position, 2, seed=0) for position in range(6)) == [0, 0, 0, 1, 1, 1]


def test_clips_that_were_held_out_are_read_only_when_asked_for(tmp_path):
    _write(tmp_path / "combined_parquet_dataset" / "x.parquet", _row(caption="to train on"))
    held_out = _write(tmp_path / "validation_parquet_dataset" / "x.parquet", _row(caption="to judge by"))
    assert [len(open_parquet(tmp_path)), open_parquet(tmp_path).read(0)[2]] == [1, "to train on"]
    assert open_parquet(held_out.parent).read(0)[2] == "to judge by"


def test_of_several_buckets_one_is_to_be_chosen(tmp_path):
    _write(tmp_path / "5x32x32" / "worker_0" / "x.parquet", _row())
    _write(tmp_path / "5x32x48" / "worker_0" / "x.parquet", _row(shape=(16, 2, 4, 6)), _row(shape=(16, 2, 4, 6)))
    with pytest.raises(DataError, match=r"folder of its own; choose one of 5x32x48 \(2 clips\), 5x32x32 \(1 clip\)\."):
        open_parquet(tmp_path)
    assert open_parquet(tmp_path / "5x32x48").latent_shape == (16, 2, 4, 6)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([_row(), _row(shape=(16, 2, 4, 6))], "differ in size .latents of 16x2x4x4 and 16x2x4x6"),
        ([_row(), _row(text=(3, 16))], "no text embedding, or one of another width"),
        ([_row(vae_latent_shape=[], vae_latent_bytes=b"")], "have no video latents"),
        ([{"caption": "only words"}], "has no column vae_latent_bytes"),
    ],
)
def test_parquet_that_cannot_be_trained_on_is_refused(tmp_path, rows, sentence):
    _write(tmp_path / "x.parquet", *rows)
    with pytest.raises(DataError, match=sentence):
        open_parquet(tmp_path)


def test_latents_that_are_not_float32_are_refused_when_read(tmp_path):
    _write(tmp_path / "x.parquet", _row(vae_latent_bytes=b"\0" * 16))
    with pytest.raises(DataError, match=r"A vae_latent in .* has 16 bytes, not float32"):
        open_parquet(tmp_path).read(0)


@pytest.mark.parametrize("content", [None, b"", b"PAR1 but no more"])
def test_no_parquet_and_damaged_parquet_are_said(tmp_path, content):
    if content is not None:
        (tmp_path / "x.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"holds no .parquet files|is not readable as Parquet"):
        open_parquet(tmp_path)


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(DataError, match="There is no folder"):
        open_parquet(tmp_path / "nothing")
