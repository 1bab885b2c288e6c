"""Gates of sparse attention in files, and back."""

import pytest
import torch

from fastvideo_engine.adapters.adapter import Adapter, LowRank
from fastvideo_engine.adapters.writing import write_adapter
from fastvideo_engine.attention.fastest import fastest_way
from fastvideo_engine.attention.stored import (
    gates,
    gates_of_adapter,
    gates_of_transformer,
    put_gates,
    record_sparsity,
)
from fastvideo_engine.attention.wan import add_sparse_attention, set_sparsity
from fastvideo_engine.errors import ModelError


@pytest.fixture
def sparse_wan(wan):
    def make(**changes):
        transformer = wan(**changes)
        add_sparse_attention(transformer, fastest_way(torch.device("cpu"), torch.float32, 12))
        set_sparsity(transformer, 0.5)
        return transformer

    return make


@pytest.fixture
def adapter(tmp_path):
    """Save the gates of a transformer as an adapter's file has them."""

    def save(transformer):
        path = tmp_path / "adapter.safetensors"
        layer = LowRank(torch.ones(1, 24), torch.ones(24, 1))
        held = {name: weight.detach() for name, weight in gates(transformer).items()}
        write_adapter(Adapter({"blocks.0.attn1.to_q": layer}, gates=held), path, "universal", {"sparsity": 0.5})
        return path

    return save


def test_a_saved_transformer_has_fastvideos_names_and_comes_back(sparse_wan, velocity, open_gates, tmp_path):
    saved, loaded = sparse_wan(), sparse_wan()
    open_gates(saved)
    saved.save_pretrained(tmp_path, max_shard_size="20KB")
    record_sparsity(saved, tmp_path)
    stored = gates_of_transformer(tmp_path)
    names = {f"blocks.{block}.to_gate_compress.{part}" for block in (0, 1) for part in ("weight", "bias")}
    assert (stored.weights.keys(), stored.sparsity) == (names, 0.5)
    put_gates(loaded, stored)
    assert torch.equal(velocity(loaded), velocity(saved))


def test_an_adapters_file_tells_its_gates_and_sparsity_and_they_apply_by_strength(sparse_wan, open_gates, adapter):
    saved, loaded = sparse_wan(), sparse_wan()
    open_gates(saved)
    stored = gates_of_adapter(adapter(saved))
    assert stored.sparsity == 0.5
    put_gates(loaded, stored, strength=0.25)
    for name, weight in gates(loaded).items():
        torch.testing.assert_close(weight, gates(saved)[name] / 4)


def test_weights_without_gates_have_none(wan, adapter, tmp_path):
    wan().save_pretrained(tmp_path / "transformer")
    assert gates_of_transformer(tmp_path / "transformer") is None
    assert gates_of_adapter(adapter(wan())) is None


def test_gates_of_another_model_are_refused(sparse_wan, adapter):
    stored = gates_of_adapter(adapter(sparse_wan(num_layers=3)))
    with pytest.raises(ModelError, match=r"2 of 6 weights, such as blocks\.2\.to_gate_compress\.bias"):
        put_gates(sparse_wan(), stored)
