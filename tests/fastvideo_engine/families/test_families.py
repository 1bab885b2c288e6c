"""A family's facts come from the model's own configs, so that each variant of Wan is preprocessed as it asks."""

import json

import pytest

from fastvideo_engine.errors import ModelError
from fastvideo_engine.families import family_of_folder


@pytest.fixture
def described(tmp_path):
    """Make a model folder that holds settings only."""

    def make(index, vae=None, transformer=None):
        for name, content in (
            ("model_index.json", index),
            ("vae/config.json", vae),
            ("transformer/config.json", transformer),
        ):
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(content or {}))
        return tmp_path

    return make


_CLIP = ["transformers", "CLIPVisionModel"]
_I2V = {"_class_name": "WanImageToVideoPipeline"}


def test_wan_2_1_text_to_video_takes_no_image(tiny_wan):
    family = family_of_folder(tiny_wan)

    assert (family.frame_stride, family.size_multiple, family.workloads) == (4, 16, ("t2v",))
    assert "Wan does not take an image" in family.workload_problem("i2v")


def test_wan_2_1_image_to_video_reads_clip_and_the_first_frames_latent(tiny_wan_i2v):
    family = family_of_folder(tiny_wan_i2v)

    assert (family.has_image_encoder, family.reads_first_frame_latent) == (True, True)
    assert family.workload_problem("i2v") is None
    assert family.workload_problem("t2v") is None


def test_wan_2_2_a14b_image_to_video_has_no_clip(described):
    family = family_of_folder(described({**_I2V, "image_encoder": [None, None], "boundary_ratio": 0.9}))

    assert (family.has_image_encoder, family.reads_first_frame_latent) == (False, True)


def test_wan_2_2_a14b_has_an_expert_on_either_side_of_its_boundary(tiny_a14b_t2v, tiny_wan):
    family, other = family_of_folder(tiny_a14b_t2v), family_of_folder(tiny_wan)

    assert (family.expert_boundary, other.expert_boundary) == (0.875, None)
    assert family.trained_transformers("both") == family.transformers == ("transformer", "transformer_2")
    assert (family.trained_transformers("high"), family.trained_transformers("low")) == (
        ("transformer",),
        ("transformer_2",),
    )
    assert other.trained_transformers("both") == other.transformers == ("transformer",)


@pytest.mark.parametrize("index", [{"_class_name": "WanPipeline"}, {**_I2V, "image_encoder": [None, None]}])
def test_wan_2_2_ti2v_5b_has_larger_steps_and_its_own_first_latent(described, index):
    family = family_of_folder(described({**index, "expand_timesteps": True}, {"scale_factor_spatial": 16}))

    assert (family.size_multiple, family.frame_stride) == (32, 4)
    assert (family.has_image_encoder, family.reads_first_frame_latent) == (False, False)
    assert family.workload_problem("i2v") is None
    assert family.problems(480, 832, 81) == {}
    assert "divisible by 32; 720 is not, the nearest is 704" in family.problems(720, 1280, 81)["height"]


def test_patches_of_the_transformer_count(described):
    family = family_of_folder(described({**_I2V, "image_encoder": _CLIP}, transformer={"patch_size": [1, 4, 4]}))

    assert family.size_multiple == 32


def test_settings_that_cannot_be_read_are_left_to_who_needs_them(described):
    folder = described({"_class_name": "WanPipeline"})
    (folder / "vae" / "config.json").write_text("{")

    assert family_of_folder(folder).size_multiple == 16


def test_a_pipeline_that_we_do_not_know_is_named(described):
    with pytest.raises(ModelError, match=r"holds a FluxPipeline.*it takes WanPipeline, WanImageToVideoPipeline"):
        family_of_folder(described({"_class_name": "FluxPipeline"}))
