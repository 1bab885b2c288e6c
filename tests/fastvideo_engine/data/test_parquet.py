"""Parquet has FastVideo's columns, small row groups, and tells what it was made with."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from fastvideo_engine.data.loader import open_parquet
from fastvideo_engine.data.parquet import (
    FirstFrame,
    GrowingFile,
    Provenance,
    Sample,
    count_rows,
    latent_shape,
    read_provenance,
    tensor_of,
    write_samples,
    write_without,
    written_files,
)

_MADE_WITH = Provenance(
    model="a", vae_fingerprint="b", train_fps=16, height=64, width=96, frames=17, engine_version="1"
)
_OURS = [
    "source_sha256",
    "source_frames",
    "frame_indices",
    "train_fps",
    "bucket",
    "model",
    "vae_fingerprint",
    "engine_version",
]


def _sample(name):
    latent = np.arange(16 * 5 * 8 * 12, dtype=np.float64).reshape(5, 16, 8, 12).transpose(1, 0, 2, 3)
    return Sample(name, name, "a cat", latent, np.ones((3, 32), np.float16), 96, 64, 0.5, 24.0)


@pytest.mark.parametrize("workload", ["t2v", "i2v"])
def test_the_schema_is_fastvideos_with_our_columns_behind(tmp_path, fastvideo_fixtures, workload):
    ours = pq.read_schema(write_samples(tmp_path, [_sample("a")], _MADE_WITH.model_copy(update={"workload": workload})))
    theirs = pq.read_schema(fastvideo_fixtures / workload / "data_chunk_0.parquet")

    assert list(ours)[: len(theirs)] == list(theirs)
    assert ours.names[len(theirs) :] == _OURS


def test_tensors_are_stored_as_whole_little_endian_float32_whatever_they_were(tmp_path):
    file = write_samples(tmp_path, [_sample("a")], _MADE_WITH)

    row = pq.read_table(file).to_pylist()[0]
    latent = np.frombuffer(row["vae_latent_bytes"], "<f4").reshape(row["vae_latent_shape"])
    assert np.array_equal(latent, _sample("a").vae_latent)
    assert row["text_embedding_bytes"] == np.ones((3, 32), "<f4").tobytes()
    assert (row["vae_latent_dtype"], row["text_embedding_dtype"], row["num_frames"]) == ("float32", "float32", 5)


def test_each_row_can_be_read_without_the_others(tmp_path):
    file = write_samples(tmp_path, [_sample("a"), _sample("b")], _MADE_WITH)

    assert pq.ParquetFile(file).num_row_groups == 2
    assert count_rows(file) == 2
    assert latent_shape(file) == [16, 5, 8, 12]


def test_a_file_tells_what_it_was_made_with_and_a_foreign_one_does_not(tmp_path, fastvideo_fixtures):
    assert read_provenance(write_samples(tmp_path, [_sample("a")], _MADE_WITH)) == _MADE_WITH
    assert read_provenance(fastvideo_fixtures / "t2v" / "data_chunk_0.parquet") is None


def test_a_second_file_never_takes_the_name_of_the_first(tmp_path):
    files = {write_samples(tmp_path, [_sample("a")], _MADE_WITH) for _ in range(3)}

    assert set(tmp_path.iterdir()) == files
    assert len(files) == 3


def test_a_file_that_was_cut_off_counts_as_empty(tmp_path):
    file = write_samples(tmp_path, [_sample("a")], _MADE_WITH)
    file.write_bytes(file.read_bytes()[:500])

    assert count_rows(file) == 0
    assert count_rows(tmp_path / "missing.parquet") == 0


def test_a_file_that_still_grows_is_hidden_from_whoever_reads_the_folder(tmp_path):
    growing = GrowingFile(tmp_path, _MADE_WITH)
    growing.add(_sample("b"))
    whole = write_samples(tmp_path, [_sample("a")], _MADE_WITH)

    assert pq.read_table(tmp_path)["id"].to_pylist() == ["a"]
    assert len(written_files(tmp_path)) == 2
    growing.discard()
    assert written_files(tmp_path) == [whole]


def test_groups_are_as_long_as_asked_and_each_row_is_found(tmp_path):
    growing = GrowingFile(tmp_path, _MADE_WITH, rows_per_group=2)
    for number in range(3):
        growing.add(replace(_sample(str(number)), vae_latent=np.full((16, 1, 2, 2), number)))
    file = growing.finish()

    footer = pq.read_metadata(file)
    assert [footer.row_group(group).num_rows for group in range(footer.num_row_groups)] == [2, 1]
    assert [tensor_of(file, row, "vae_latent").max() for row in range(3)] == [0, 1, 2]
    clips = open_parquet(tmp_path)
    assert [clips.read(number)[0].max().item() for number in range(3)] == [0, 1, 2]


def test_a_file_is_written_again_without_some_rows_and_keeps_the_rest_as_it_was(tmp_path):
    old = write_samples(tmp_path, [_sample(name) for name in "abc"], _MADE_WITH)
    new = write_without(old, {1})

    assert pq.read_table(new).equals(pq.read_table(old).take([0, 2]))
    assert (pq.ParquetFile(new).num_row_groups, read_provenance(new)) == (2, _MADE_WITH)
    assert old.exists()


def test_latents_are_stored_as_they_are_and_text_is_compressed(tmp_path):
    made_with = _MADE_WITH.model_copy(update={"workload": "i2v"})
    latent = np.zeros((16, 1, 2, 2))
    first_frame = FirstFrame(clip_feature=np.zeros((257, 8)), latent=latent)
    group = pq.read_metadata(write_samples(tmp_path, [replace(_sample("a"), first_frame=first_frame)], made_with))
    group = group.row_group(0)

    stored = {group.column(n).path_in_schema: group.column(n).compression for n in range(group.num_columns)}
    plain = {name for name, compression in stored.items() if compression == "UNCOMPRESSED"}
    assert {name for name in plain if name.endswith("_bytes")} == {
        "vae_latent_bytes",
        "clip_feature_bytes",
        "first_frame_latent_bytes",
    }
    assert stored["text_embedding_bytes"] == stored["caption"] == "ZSTD"


def test_what_a_model_does_not_read_is_empty_and_never_null(tmp_path):
    made_with = _MADE_WITH.model_copy(update={"workload": "i2v"})
    row = pq.read_table(write_samples(tmp_path, [_sample("a")], made_with)).to_pylist()[0]

    for tensor in ("clip_feature", "first_frame_latent", "pil_image"):
        assert [row[f"{tensor}_{part}"] for part in ("bytes", "shape", "dtype")] == [b"", [], ""]
