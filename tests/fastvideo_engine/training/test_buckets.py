"""Training on clips of several sizes and from several folders: exact, and alike in one process and in two."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from fastvideo_engine.events import Progress
from fastvideo_engine.specs import Validation
from fastvideo_engine.training.loop import run


@pytest.fixture
def dataset(tmp_path, fastvideo_fixtures):
    """FastVideo's clips in two buckets, the second of narrower ones; two of each are held out."""
    rows = pq.read_table(fastvideo_fixtures / "t2v" / "data_chunk_0.parquet").to_pylist()
    for bucket, some in (("wide", rows[:5]), ("narrow", [_cut(row, np.s_[..., :6]) for row in rows[5:]])):
        for name, part in (("combined_parquet_dataset", some[:-1]), ("validation_dataset", some[-1:])):
            (tmp_path / "data" / name / bucket).mkdir(parents=True)
            pq.write_table(pa.Table.from_pylist(part), tmp_path / "data" / name / bucket / "x.parquet")
    return tmp_path / "data"


def _cut(row, part):
    latent = np.frombuffer(row["vae_latent_bytes"], np.float32).reshape(row["vae_latent_shape"])[part]
    return row | {"vae_latent_bytes": latent.tobytes(), "vae_latent_shape": list(latent.shape)}


def _weights(folder):
    return load_file(folder.newest_checkpoint().adapter)


def _same(these, those, **tolerance):
    assert these.keys() == those.keys()
    for name, weight in these.items():
        torch.testing.assert_close(weight, those[name], **tolerance)


def test_a_run_on_buckets_goes_on_exactly_where_it_stopped(dataset, train_spec, run_folder, events_of):
    asked = {"parquet": str(dataset), "batch_size": 2, "gradient_accumulation": 2}
    validation = Validation(every=4)
    run(train_spec(steps=4, validation=validation, **asked), run_folder("straight"))
    run(train_spec(steps=2, validation=validation, **asked), run_folder("stopped"))
    run(train_spec(steps=4, validation=validation, **asked), run_folder("stopped"))

    _same(_weights(run_folder("straight")), _weights(run_folder("stopped")), rtol=0, atol=0)
    told = [event.metrics for event in events_of(run_folder("straight"), Progress)]
    assert [np.isfinite(metrics["validation_loss"]) for metrics in told if "validation_loss" in metrics] == [True, True]


def test_the_first_latent_frames_are_trained_on_as_if_there_were_no_more(
    fastvideo_fixtures, tmp_path, train_spec, run_folder
):
    rows = pq.read_table(fastvideo_fixtures / "t2v" / "data_chunk_0.parquet").to_pylist()
    pq.write_table(pa.Table.from_pylist([_cut(row, np.s_[:, :2]) for row in rows]), tmp_path / "x.parquet")
    run(train_spec(steps=2, latent_frames=2), run_folder("cut"))
    run(train_spec(steps=2, parquet=str(tmp_path)), run_folder("short"))

    _same(_weights(run_folder("cut")), _weights(run_folder("short")), rtol=0, atol=0)


@pytest.mark.slow
def test_two_processes_take_the_batches_of_one(dataset, train_spec, run_folder, train_in_two_processes):
    asked = {"parquet": f"{dataset / 'combined_parquet_dataset' / 'wide'}:2,{dataset}", "steps": 3}
    train_in_two_processes(train_spec(**asked), run_folder("two"))
    run(train_spec(batch_size=2, **asked), run_folder("one"))

    _same(_weights(run_folder("one")), _weights(run_folder("two")), rtol=1e-4, atol=1e-6)
