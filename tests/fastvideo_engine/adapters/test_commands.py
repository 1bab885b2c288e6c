"""The tools as they are typed: what they write, what they say, and how they fail."""

import pytest

from fastvideo_engine.__main__ import main
from fastvideo_engine.adapters.applied import adapter_of
from fastvideo_engine.adapters.reading import read_adapter
from fastvideo_engine.adapters.writing import write_adapter


@pytest.fixture
def adapter(peft_wan, tmp_path):
    write_adapter(adapter_of(peft_wan()), tmp_path / "adapter.safetensors", "universal", {})
    return tmp_path / "adapter.safetensors"


def typed(command, **options):
    return main([command, *(part for name, value in options.items() for part in (f"--{name}", str(value)))])


def test_an_adapter_goes_through_export_merge_and_extract_and_is_the_same(adapter, tiny_wan, tmp_path, capsys):
    exported, merged, extracted = (tmp_path / name for name in ("f.safetensors", "merged", "e.safetensors"))
    assert typed("export", adapter=adapter, format="fastvideo", out=exported) == 0
    assert typed("merge", model=tiny_wan, adapter=exported, strength=0.5, out=merged) == 0
    assert typed("extract", base=tiny_wan, finetuned=merged, rank=4, out=extracted) == 0
    before, after = read_adapter(adapter), read_adapter(extracted)
    assert after.layers.keys() == before.layers.keys()
    for name, layer in before.layers.items():
        error = after.layers[name].up @ after.layers[name].down - layer.up @ layer.down / 2
        assert error.abs().max() < 1e-4
    told = capsys.readouterr().out
    assert "Merged 16 weights of transformer" in told
    assert "Wrote 16 layers" in told


def test_a_mistake_is_one_sentence(tiny_wan, tmp_path, capsys):
    assert typed("merge", model=tiny_wan, adapter=tmp_path / "no.safetensors", out=tmp_path / "merged") == 1
    told = capsys.readouterr().err
    assert told == f"There is no adapter at {tmp_path / 'no.safetensors'}; check the path.\n"
