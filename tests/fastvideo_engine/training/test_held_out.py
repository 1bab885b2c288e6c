"""The loss on held-out clips against a formula of its own, and where it is told."""

import json

import pyarrow.parquet as pq
import pytest
import torch
from diffusers import WanTransformer3DModel

from fastvideo_engine.data.loader import held_out_beside
from fastvideo_engine.events import Progress
from fastvideo_engine.seeds import generator_of
from fastvideo_engine.specs import Full, Validation
from fastvideo_engine.training.flow_matching import sigma_table
from fastvideo_engine.training.loop import run


@pytest.fixture
def dataset(fastvideo_fixtures, tmp_path):
    """Lay FastVideo's clips out as it does itself: six to train on and two held out, in buckets."""
    rows = pq.read_table(fastvideo_fixtures / "t2v" / "data_chunk_0.parquet")
    for name, part in (("combined_parquet_dataset", rows[:6]), ("validation_dataset", rows[6:])):
        (tmp_path / "data" / name / "5x64x96").mkdir(parents=True)
        pq.write_table(part, tmp_path / "data" / name / "5x64x96" / "x.parquet")
    return tmp_path / "data"


def _told(events):
    return {event.done: event.metrics["validation_loss"] for event in events if "validation_loss" in event.metrics}


@torch.no_grad()
def _wanted(model, transformer, rows, seed):
    transformer = WanTransformer3DModel.from_pretrained(transformer).double()
    config = json.loads((model / "vae" / "config.json").read_text())
    mean, std = (torch.tensor(config[f"latents_{name}"]).double().view(1, -1, 1, 1, 1) for name in ("mean", "std"))
    losses = []
    for clip, row in enumerate(rows):
        latent, text = (
            torch.frombuffer(bytearray(row[f"{name}_bytes"]), dtype=torch.float32).view(1, *row[f"{name}_shape"])
            for name in ("vae_latent", "text_embedding")
        )
        clean = (latent.double() - mean) / std
        text = torch.cat([text, torch.zeros(1, 512 - text.shape[1], text.shape[2])], dim=1).double()
        for level in range(4):
            noise = torch.randn(latent.shape[1:], generator=generator_of("held out", seed, clip, level)).double()
            sigma = sigma_table(3.0)[125 + 250 * level].double()
            noisy = (1 - sigma) * clean + sigma * noise
            velocity = transformer(noisy, sigma.view(1) * 1000, text, return_dict=False)[0]
            losses.append(((velocity - (noise - clean)) ** 2).mean())
    return torch.stack(losses).mean().item()


@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_validation_loss_equals_the_formula_in_float64(
    train_spec, dataset, tiny_wan, run_folder, events_of, batch_size
):
    folder = run_folder()
    validation = Validation(every=2, seed=5)
    parquet = dataset / "combined_parquet_dataset"
    spec = train_spec(
        steps=3, tuning=Full(), parquet=str(parquet), batch_size=batch_size, validation=validation, ema_decay=0.9
    )
    run(spec, folder)
    rows = pq.read_table(dataset / "validation_dataset").to_pylist()
    told = _told(events_of(folder, Progress))
    assert list(told) == [0, 2, 3]
    assert [event.done for event in events_of(folder, Progress) if event.seconds_left is None] == [0]
    assert told[0] == pytest.approx(_wanted(tiny_wan, tiny_wan / "transformer", rows, seed=5), rel=1e-5)
    # The last one is of the averaged weights, which are the exported ones.
    last = _wanted(tiny_wan, folder.newest_checkpoint().transformer("transformer"), rows, seed=5)
    assert told[3] == pytest.approx(last, rel=1e-5) != told[0]


def test_held_out_clips_are_found_beside_a_dataset_its_root_and_its_buckets(dataset):
    held_out = dataset / "validation_dataset"
    assert held_out_beside(dataset) == held_out_beside(dataset / "combined_parquet_dataset") == held_out
    assert held_out_beside(dataset / "combined_parquet_dataset" / "5x64x96") == held_out / "5x64x96"
    assert held_out_beside(held_out) is None


def test_without_held_out_clips_or_where_they_are_not_wanted_no_loss_is_told(
    train_spec, dataset, run_folder, events_of
):
    for name, changes in {
        "none": {},
        "not wanted": {
            "parquet": str(dataset / "combined_parquet_dataset"),
            "validation": Validation(held_out_clips=0),
        },
    }.items():
        run(train_spec(steps=1, **changes), run_folder(name))
        assert _told(events_of(run_folder(name), Progress)) == {}
