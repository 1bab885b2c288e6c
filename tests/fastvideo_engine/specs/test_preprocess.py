"""A preprocessing spec of before still reads, keeps what it is given, and says what cannot be."""

import pytest

from fastvideo_engine.errors import SpecError
from fastvideo_engine.specs import HuggingFaceSource, PreprocessSpec, read_spec, spec_from

_OLD = """
kind: preprocess
model: owner/model
workload: t2v
source: {type: manifest, path: manifest.jsonl}
height: 64
width: 96
frames: 17
fps: 16.0
processes: 1
"""


def test_a_spec_written_before_there_were_more_fields_still_reads(tmp_path):
    (tmp_path / "spec.yaml").write_text(_OLD)

    spec = read_spec(tmp_path / "spec.yaml")

    assert (spec.height, spec.parity, spec.selection.long_clips, spec.held_out.share) == (64, "none", "head", 0)


def test_a_spec_is_the_same_after_it_was_written_and_read(tmp_path):
    source = HuggingFaceSource(path="owner/data", revision="v1", limit=3)
    spec = PreprocessSpec(model="m", source=source, selection={"long_clips": "scenes"}, held_out={"split": "test"})
    (tmp_path / "spec.yaml").write_text(spec.to_yaml())

    assert read_spec(tmp_path / "spec.yaml") == spec


def test_a_hub_id_stays_one_and_a_folder_is_found_from_where_it_was_written(tmp_path):
    (tmp_path / "local").mkdir()

    def place(path):
        return PreprocessSpec(model="m", source=HuggingFaceSource(path=path)).anchored(tmp_path).source.path

    assert (place("owner/data"), place("local"), place("./none")) == (
        "owner/data",
        str(tmp_path / "local"),
        str(tmp_path / "none"),
    )


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"held_out": {"split": "test"}}, "only a Hugging Face dataset has splits; hold out a share"),
        ({"selection": {"drop_short_ratio": 1.5}}, r"selection\.drop_short_ratio: .*less than or equal to 1"),
        ({"output": {"rows_per_group": 64}}, r"output\.rows_per_group: .*less than or equal to 4"),
        ({"decoding": {"decoder": "torchvision"}}, r"decoding\.decoder: .*'torchcodec'"),
        ({"source": {"type": "zip", "path": "x"}}, "source: .*'merged', 'manifest', 'hf'"),
    ],
)
def test_what_cannot_be_is_said_by_its_field(wrong, sentence):
    asked = {"kind": "preprocess", "model": "m", "source": {"type": "merged", "path": "x"}, **wrong}

    with pytest.raises(SpecError, match=sentence):
        spec_from(asked)
