"""Whether Parquet and model go together is told before any weights are loaded."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fastvideo_engine.components import vae_fingerprint
from fastvideo_engine.data.loader import open_parquet
from fastvideo_engine.data.parquet import Provenance
from fastvideo_engine.errors import DataError, ModelError
from fastvideo_engine.families import family_of_folder
from fastvideo_engine.training.fit import check_clips_fit, check_model_fits

NAME = "some/wan"


@pytest.fixture
def clips(fastvideo_fixtures):
    return open_parquet(fastvideo_fixtures / "t2v")


def _made_with(fingerprint: str) -> Provenance:
    sizes = {"train_fps": 16, "height": 64, "width": 96, "frames": 17}
    return Provenance(model="other/wan", vae_fingerprint=fingerprint, engine_version="0.1.0", **sizes)


def test_clips_that_say_nothing_or_name_this_vae_fit(clips, tiny_wan):
    check_clips_fit(clips, tiny_wan, NAME)
    check_clips_fit(replace(clips, provenance=_made_with(vae_fingerprint(tiny_wan))), tiny_wan, NAME)


def test_clips_of_another_vae_are_refused_with_both_names(clips, tiny_wan):
    with pytest.raises(DataError) as refused:
        check_clips_fit(replace(clips, provenance=_made_with("0" * 64)), tiny_wan, NAME)
    assert str(refused.value) == (
        "This Parquet was made with another model (other/wan); "
        "train with that model or preprocess the clips again with some/wan."
    )


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("in_channels", 48, "The clips have 16 latent channels, some/wan takes 48; train with the model"),
        ("text_dim", 4096, "text embeddings are 32 wide, some/wan takes 4096; train with the model"),
        ("patch_size", [1, 2, 5], r"Latents of 5x8x12 .* do not divide into the model's patches of 1x2x5"),
    ],
)
def test_clips_of_other_shapes_are_refused(clips, tiny_wan, tmp_path, setting, value, sentence):
    other = Path(shutil.copytree(tiny_wan, tmp_path / "wan"))
    config = other / "transformer" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {setting: value}))
    with pytest.raises(DataError, match=sentence):
        check_clips_fit(clips, other, NAME)


def test_an_image_to_video_model_is_refused_for_training_with_the_cure(fastvideo_fixtures):
    model = fastvideo_fixtures / "models" / "wan-i2v-tiny"
    with pytest.raises(ModelError, match=r"makes videos from an image; training takes text-to-video models"):
        check_model_fits(family_of_folder(model), model, "it")


def test_a_model_of_two_experts_is_refused_for_training(tiny_wan, tmp_path):
    model = Path(shutil.copytree(tiny_wan, tmp_path / "two"))
    (model / "transformer_2").mkdir()
    with pytest.raises(ModelError, match=r"has two experts"):
        check_model_fits(family_of_folder(model), model, "it")
