"""The training bench compares equals, refuses what computes something else, and leaves its figures."""

import json
from dataclasses import replace
from functools import partial

import pytest
import torch

from fastvideo_engine.__main__ import main
from fastvideo_engine.attention.wan import sparsity_of
from fastvideo_engine.bench.learners import ours, plain
from fastvideo_engine.bench.random_wan import grid_of, open_adapters, random_batch, write_transformer
from fastvideo_engine.bench.turns import entered, take_turns
from fastvideo_engine.bench.variants import TUNINGS, variants
from fastvideo_engine.components import part_config
from fastvideo_engine.specs import TrainSpec
from fastvideo_engine.specs.train import Vsa

_CPU = torch.device("cpu")
_SIZE = (5, 128, 128)  # four tiles
_CAPTION = 7
_SHAPE = {
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "ffn_dim": 64,
    "num_layers": 2,
    "freq_dim": 32,
    "text_dim": 12,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    write_transformer(_SHAPE, folder, _CPU)
    return folder


@pytest.fixture(scope="module")
def grid(model):
    return grid_of(part_config(model, "transformer"), *_SIZE)


@pytest.fixture(scope="module")
def batch(model, grid):
    return random_batch(part_config(model, "transformer"), grid, _CAPTION, _CPU)


def _spec(**settings):
    return TrainSpec(model="none", parquet="none", **settings)


def test_the_command_measures_all_ways_against_the_plain_one(tmp_path, capsys):
    out = tmp_path / "results.json"
    small = ["--frames", "5", "--height", "32", "--width", "32", "--rounds", "1"]
    assert main(["bench", "train", "--model", "tiny-wan", *small, "--out", str(out)]) == 0
    results = json.loads(out.read_text())
    figures = {each["variant"]: each["figures"] for each in results["train"]}
    assert list(figures) == [
        f"{way}{method}{more}"
        for method in ("lora", "full")
        for way, more in (("plain ", ""), ("plain ", ", padding once"), ("ours ", ""))
    ]
    assert {name for name, each in figures.items() if each["times_plain"] == 1} == {"plain lora", "plain full"}
    for each in figures.values():
        assert each["tokens_per_second"] * each["seconds"] == pytest.approx(2 * 2 * 2)
        assert 0 < each["mfu"] < 1
        assert each["attention"] == "flash"
    assert all(len(each["rounds"]) == 1 and each["problem"] is None for each in results["train"])
    assert "times_plain" in capsys.readouterr().out


def test_all_weights_their_gradients_and_the_optimizers_count_as_memory(model, grid, batch):
    entry = next(entered(variants("full", grid, _CAPTION, _CPU), model, batch, _CPU))
    weights = sum(weight.nbytes for weight in entry.learner.transformer.parameters())
    assert 4 * weights < entry.watched.peak_bytes < 100 * weights


@pytest.mark.parametrize("method", TUNINGS)
def test_our_step_moves_the_weights_as_the_plain_one_does(model, batch, method):
    moved = []
    for way in (plain, ours):
        learner = way(model, _spec(tuning=TUNINGS[method]), _CPU)
        open_adapters(learner.transformer)
        before = {name: weight.detach().clone() for name, weight in learner.weights.items()}
        for _ in range(3):
            learner.step(batch)
        moved.append(torch.cat([(weight - before[name]).flatten() for name, weight in learner.weights.items()]))
    assert moved[0].norm() > 0
    assert (moved[1] - moved[0]).norm() < 0.01 * moved[0].norm()


def test_a_way_that_computes_something_else_is_named_and_not_timed(model, grid, batch):
    true, *_ = variants("lora", grid, _CAPTION, _CPU)
    entries = list(entered([true, replace(true, name="wrong", make=_wrong)], model, batch, _CPU))
    assert entries[0].problem is None
    assert entries[1].problem == (
        "loss 0.0001 apart, cosine of the gradients 1.000000, where 1e-05 at most and above 0.999 are asked for"
    )


def _wrong(model, device):
    learner = plain(model, _spec(), device)
    return replace(learner, loss=lambda batch: learner.loss(batch) * 1.0001)


def test_sparse_attention_is_proven_dense_and_timed_sparse(model, grid, batch):
    true, *_ = variants("lora", grid, _CAPTION, _CPU)
    sparse = replace(true, name="sparse", make=partial(_sparse, sparsity=0.75))
    entries = list(entered([true, sparse], model, batch, _CPU))
    assert entries[1].problem is None
    assert sparsity_of(entries[1].learner.transformer) == 0.75
    assert "plain PyTorch" in entries[1].watched.attention
    spent = take_turns(entries, batch, _CPU, rounds=2)
    assert {name: [len(turn) for turn in turns] for name, turns in spent.items()} == {
        "plain lora": [3, 3],
        "sparse": [3, 3],
    }


def _sparse(model, device, sparsity):
    return ours(model, _spec(attention=Vsa(sparsity=sparsity)), device)


def test_on_a_gpu_sparse_attention_is_measured_too(grid):
    names = [each.name for each in variants("full", grid, _CAPTION, torch.device("cuda"))]
    assert names == ["plain full", "ours full", "ours full, vsa 0.8"]


def test_a_size_that_wan_cannot_take_is_refused(capsys):
    assert main(["bench", "train", "--frames", "6"]) == 1
    assert "Wan takes 4k+1 frames; 6 is not, the nearest are 5 and 9." in capsys.readouterr().err
