"""Whether Parquet and model go together is told before any weights are loaded."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fastvideo_engine.components import vae_fingerprint
from fastvideo_engine.data.loader import first_frame_tensors, open_parquet
from fastvideo_engine.data.parquet import Provenance
from fastvideo_engine.errors import DataError, SpecError
from fastvideo_engine.families import family_of_folder
from fastvideo_engine.families.wan import WAN
from fastvideo_engine.specs import TrainSpec
from fastvideo_engine.training.fit import check_clips_fit, check_workload

NAME = "some/wan"


@pytest.fixture
def clips(fastvideo_fixtures):
    return open_parquet(fastvideo_fixtures / "t2v")


@pytest.fixture
def image_clips(fastvideo_fixtures, tiny_wan_i2v):
    return open_parquet(fastvideo_fixtures / "i2v", first_frame_tensors(family_of_folder(tiny_wan_i2v)))


@pytest.fixture
def changed_config(tmp_path):
    def change(model: Path, setting: str, value: object) -> Path:
        other = Path(shutil.copytree(model, tmp_path / "wan"))
        config = other / "transformer" / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {setting: value}))
        return other

    return change


def _made_with(fingerprint: str) -> Provenance:
    sizes = {"train_fps": 16, "height": 64, "width": 96, "frames": 17}
    return Provenance(model="other/wan", vae_fingerprint=fingerprint, engine_version="0.1.0", **sizes)


def test_clips_that_say_nothing_or_name_this_vae_fit(clips, tiny_wan):
    check_clips_fit(clips, WAN, tiny_wan, NAME)
    check_clips_fit(replace(clips, provenance=_made_with(vae_fingerprint(tiny_wan))), WAN, tiny_wan, NAME)


def test_clips_of_another_vae_are_refused_with_both_names(clips, tiny_wan):
    with pytest.raises(DataError) as refused:
        check_clips_fit(replace(clips, provenance=_made_with("0" * 64)), WAN, tiny_wan, NAME)
    assert str(refused.value) == (
        "This Parquet was made with another model (other/wan); "
        "train with that model or preprocess the clips again with some/wan."
    )


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("in_channels", 48, r"give 16 channels \(16 of them the latent's\), some/wan takes 48; train with the model"),
        ("text_dim", 4096, "text embeddings are 32 wide, some/wan takes 4096; train with the model"),
        ("patch_size", [1, 2, 5], r"Latents of 5x8x12 .* do not divide into the model's patches of 1x2x5"),
    ],
)
def test_clips_of_other_shapes_are_refused(clips, tiny_wan, changed_config, setting, value, sentence):
    with pytest.raises(DataError, match=sentence):
        check_clips_fit(clips, WAN, changed_config(tiny_wan, setting, value), NAME)


def test_image_to_video_clips_fit_an_image_to_video_model(image_clips, tiny_wan_i2v):
    check_clips_fit(image_clips, family_of_folder(tiny_wan_i2v), tiny_wan_i2v, NAME)


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("in_channels", 16, r"give 36 channels \(16 of them the latent's\), some/wan takes 16; train with the model"),
        ("image_dim", 1280, "CLIP features are 32 wide, some/wan takes 1280; train with the model"),
    ],
)
def test_image_to_video_clips_of_other_shapes_are_refused(
    image_clips, tiny_wan_i2v, changed_config, setting, value, sentence
):
    other = changed_config(tiny_wan_i2v, setting, value)
    with pytest.raises(DataError, match=sentence):
        check_clips_fit(image_clips, family_of_folder(other), other, NAME)


def test_a_workload_that_a_model_is_not_made_for_is_refused(clips, tiny_wan, tiny_wan_i2v, tiny_ti2v_5b):
    wan, wan_i2v, both = (family_of_folder(model) for model in (tiny_wan, tiny_wan_i2v, tiny_ti2v_5b))
    assert [family.trained_for("auto") for family in (wan, wan_i2v, both)] == ["t2v", "i2v", "t2v"]
    for workload in ("t2v", "i2v"):
        check_workload(_asked(workload), both, clips)
    with pytest.raises(SpecError, match="Wan is not made for i2v; choose the workload t2v, or another model"):
        check_workload(_asked("i2v"), wan, clips)
    with pytest.raises(SpecError, match="Wan I2V is not made for t2v; choose the workload i2v, or another model"):
        check_workload(_asked("t2v"), wan_i2v, clips)
    with pytest.raises(DataError, match="nothing is left to learn; preprocess with at least 5 frames"):
        check_workload(_asked("i2v"), both, replace(clips, by_shape=clips.by_shape | {(48, 1, 4, 6): [0]}))


def test_one_of_two_experts_is_refused_for_a_model_without_them(clips, tiny_a14b_t2v):
    for experts in ("both", "high", "low"):
        check_workload(_asked("auto", experts), family_of_folder(tiny_a14b_t2v), clips)
    with pytest.raises(SpecError, match="Wan has no experts for high and low noise; leave the experts at both"):
        check_workload(_asked("auto", "high"), WAN, clips)


def _asked(workload, experts="both"):
    return TrainSpec(model="m", parquet="p", workload=workload, experts=experts)
