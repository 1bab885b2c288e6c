"""The measurement of attention: who takes part, and what it says."""

import json

import torch
from torch.nn.functional import scaled_dot_product_attention

from fastvideo_engine.attention.gathering import attend_by_gathering
from fastvideo_engine.bench.attention import SPARSITIES, TOY, passing, run

CPU = torch.device("cpu")


def test_a_toy_is_measured_without_a_gpu(tmp_path, capsys):
    run(rounds=1, out=tmp_path / "figures.json")
    rows = json.loads((tmp_path / "figures.json").read_text())["attention"]
    assert [row["way"] for row in rows] == ["dense", *(f"plain PyTorch, {sparsity}" for sparsity in SPARSITIES)]
    assert all(row["both_ms"] > row["forward_ms"] > 0 for row in rows)
    assert rows[0]["times_dense_both"] == 1
    assert "plain PyTorch at sparsity 0.8 differs by 0 from the reference" in capsys.readouterr().out


def test_ways_that_fail_or_differ_have_no_figures(capsys):
    def dense(query, key, value, chosen, tiling):
        return scaled_dot_product_attention(query, key, value)

    def failing(query, key, value, chosen, tiling):
        raise RuntimeError("no such kernel")

    def wrong_where_it_is_large(query, key, value, chosen, tiling):
        answer = attend_by_gathering(query, key, value, chosen, tiling)
        return answer * 2 if tiling.tiles == 12 else answer

    ways = {"dense": dense, "failing": failing, "large": wrong_where_it_is_large, "right": attend_by_gathering}
    assert [name for name, _ in passing(ways, TOY, CPU)] == [f"right, {sparsity}" for sparsity in SPARSITIES]
    said = capsys.readouterr().out
    assert "dense is left out: its answers differ" in said
    assert "failing is left out: no such kernel" in said
    assert "large at sparsity 0.8 is left out: it differs" in said
