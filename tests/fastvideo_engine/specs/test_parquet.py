"""Training data may be written in several ways, which mean the same."""

import pytest

from fastvideo_engine.errors import SpecError
from fastvideo_engine.specs import TrainSpec, spec_from


@pytest.mark.parametrize(
    "written",
    ["a:3,b", "a:3, b:1", ["a:3", "b"], [{"path": "a", "weight": 3}, "b"], ({"path": "a", "weight": 3}, {"path": "b"})],
)
def test_training_data_is_one_folder_or_several_with_weights(written):
    spec = TrainSpec(model="m", parquet=written)

    assert [(folder.path, folder.weight) for folder in spec.parquet] == [("a", 3), ("b", 1)]
    assert spec_from(spec.model_dump(mode="json")) == spec


def test_a_single_folder_stands_alone():
    assert TrainSpec(model="m", parquet="x/2024:a").model_dump()["parquet"] == ({"path": "x/2024:a", "weight": 1},)


@pytest.mark.parametrize("written", ["", " , ", [], None, 3])
def test_training_data_cannot_be_left_out(written):
    with pytest.raises(SpecError, match="The train spec does not hold: parquet"):
        spec_from({"kind": "train", "model": "m", "parquet": written})
