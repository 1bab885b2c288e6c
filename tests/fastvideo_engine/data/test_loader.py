"""Reading Parquet: FastVideo's files as they are, several folders as one, and sentences for what cannot be read."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from fastvideo_engine.data.loader import first_frame_tensors, open_mixture, open_parquet
from fastvideo_engine.data.parquet import Provenance, Sample, write_samples
from fastvideo_engine.errors import DataError
from fastvideo_engine.families import family_of_folder
from fastvideo_engine.specs import ParquetFolder


def _row(shape=(16, 2, 4, 4), text=(3, 32), **changes):
    rng = np.random.default_rng(0)
    row = {"caption": "a ball", "vae_latent_shape": list(shape), "text_embedding_shape": list(text)}
    row["vae_latent_bytes"] = rng.standard_normal(shape, np.float32).tobytes()
    row["text_embedding_bytes"] = rng.standard_normal(text, np.float32).tobytes()
    return row | changes


_MADE_WITH = Provenance(
    model="m", vae_fingerprint="f", train_fps=16, height=64, width=96, frames=17, engine_version="1"
)


@pytest.fixture
def sample_of():
    """Make a clip of the fixtures' size that our own preprocessing could have encoded."""

    def make(caption: str) -> Sample:
        latent, text = np.ones((16, 5, 8, 12), np.float32), np.ones((3, 32), np.float32)
        return Sample("id", "a.mp4", caption, latent, text, 96, 64, 1.0, 16.0)

    return make


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


def test_clips_that_were_held_out_are_read_only_when_asked_for(tmp_path):
    _write(tmp_path / "combined_parquet_dataset" / "x.parquet", _row(caption="to train on"))
    held_out = _write(tmp_path / "validation_parquet_dataset" / "x.parquet", _row(caption="to judge by"))
    assert [len(open_parquet(tmp_path)), open_parquet(tmp_path).read(0)[2]] == [1, "to train on"]
    assert open_parquet(held_out.parent).read(0)[2] == "to judge by"


def test_clips_of_all_buckets_are_read_each_size_by_itself(tmp_path):
    _write(tmp_path / "5x32x32" / "worker_0" / "x.parquet", _row(caption="square"))
    _write(tmp_path / "5x32x48" / "worker_0" / "x.parquet", *(_row(shape=(16, 2, 4, 6), caption=c) for c in "ab"))
    clips = open_parquet(tmp_path)
    captions = {shape: [clips.read(number).caption for number in some] for shape, some in clips.by_shape.items()}
    assert captions == {(16, 2, 4, 6): ["a", "b"], (16, 2, 4, 4): ["square"]}
    assert (clips.latent_shape, clips.read(0).latent.shape) == ((16, 2, 4, 6), (16, 2, 4, 4))


def test_folders_are_mixed_by_weight_ours_with_those_of_fastvideo(tmp_path, fastvideo_fixtures, sample_of):
    folder = write_samples(tmp_path, [sample_of("ours")], _MADE_WITH).parent
    clips = open_mixture(
        [ParquetFolder(path=str(folder), weight=3), ParquetFolder(path=str(fastvideo_fixtures / "t2v"))]
    )
    assert list(clips.by_shape) == [(16, 5, 8, 12)]
    captions = [clips.read(number).caption for number in clips.by_shape[16, 5, 8, 12]]
    assert (len(clips), len(captions), captions.count("ours")) == (9, 11, 3)
    assert clips.provenance == _MADE_WITH


def test_clips_of_different_models_are_not_mixed(tmp_path, sample_of):
    for model in "ab":
        write_samples(tmp_path / model, [sample_of("x")], _MADE_WITH.model_copy(update={"vae_fingerprint": model}))
    folders = [ParquetFolder(path=str(tmp_path / model)) for model in "ab"]
    with pytest.raises(DataError, match=r"files in .*/a, .*/b were made with different models; preprocess"):
        open_mixture(folders)


def test_only_the_first_latent_frames_are_read_where_so_is_asked(fastvideo_fixtures, tiny_wan_i2v):
    folders = [ParquetFolder(path=str(fastvideo_fixtures / "i2v"))]
    tensors = first_frame_tensors(family_of_folder(tiny_wan_i2v))
    whole, cut = open_mixture(folders, tensors), open_mixture(folders, tensors, latent_frames=2)
    assert list(cut.by_shape) == [(16, 2, 8, 12)]
    assert torch.equal(cut.read(3).latent, whole.read(3).latent[:, :2])
    assert torch.equal(cut.read(3).first_frame_latent, whole.read(3).first_frame_latent[:, :2])
    assert open_mixture(folders, tensors, latent_frames=99).latent_shape == (16, 5, 8, 12)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (
            [_row(), _row(shape=(48, 2, 4, 4))],
            "have latents of 16 and 48 channels, of different models; train on those",
        ),
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
