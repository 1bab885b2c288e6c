"""What a training spec promises beyond its fields."""

import pytest

from fastvideo_engine.specs import Dense, Vsa, spec_from


@pytest.mark.parametrize(
    ("sparsity", "rise", "rise_every"), [(0.8, 0.03, 1), (0.9, 0.1, 50), (0.5, 0.1, 3), (0.9, 1, 2)]
)
def test_sparsity_rises_from_dense_and_reaches_its_target_exactly(sparsity, rise, rise_every):
    vsa = Vsa(sparsity=sparsity, rise=rise, rise_every=rise_every)
    last_rise = rise_every * (int(sparsity / rise) + 1)
    assert vsa.sparsity_at(0) == vsa.sparsity_at(rise_every - 1) == 0
    assert vsa.sparsity_at(rise_every) == min(rise, sparsity)
    assert vsa.sparsity_at(last_rise) == vsa.sparsity_at(10 * last_rise) == sparsity


def test_attention_is_dense_unless_said_and_goes_with_any_tuning():
    asked = {"kind": "train", "model": "owner/name", "parquet": "data"}
    assert spec_from(asked).attention == Dense()
    for method in ("lora", "full"):
        spec = spec_from({**asked, "tuning": {"method": method}, "attention": {"kind": "vsa", "sparsity": 0.9}})
        assert (spec.tuning.method, spec.attention.sparsity) == (method, 0.9)
