"""FastVideo's validation.json: each row is sampled as it says, from its own picture where the model takes one."""

import json

import pytest
from PIL import Image
from pydantic import ValidationError

from fastvideo_engine.errors import SpecError
from fastvideo_engine.events import ArtifactMade
from fastvideo_engine.media import probe
from fastvideo_engine.specs import Validation
from fastvideo_engine.training.loop import run


@pytest.fixture
def validation_file(tmp_path):
    def write(*rows) -> Validation:
        (tmp_path / "validation.json").write_text(json.dumps({"data": rows}))
        return Validation(file=str(tmp_path / "validation.json"), sampling_steps=2, guidance_scale=2)

    return write


def test_each_row_is_sampled_with_its_own_size_length_steps_and_guidance(
    train_spec, validation_file, run_folder, events_of
):
    own = {"height": 32, "width": 48, "num_frames": 5, "num_inference_steps": 3, "guidance_scale": 4.5}
    rows = {"caption": "waves", "ref_video": None, "video_path": "source.mp4"}, {"caption": "a red ball", **own}
    folder = run_folder()
    run(train_spec(validation=validation_file(*rows)), folder)
    samples = [made for made in events_of(folder, ArtifactMade) if made.kind == "sample"]
    assert [(made.step, made.facts["prompt"]) for made in samples] == [
        (step, row["caption"]) for step in (0, 4) for row in rows
    ]
    for made, (width, height, frames, steps, guidance) in zip(
        samples[:2], [(96, 64, 17, 2, 2), (48, 32, 5, 3, 4.5)], strict=True
    ):
        film = probe(folder.path / made.path)
        assert (film.width, film.height, film.frames) == (width, height, frames)
        assert (made.facts["sampling_steps"], made.facts["guidance_scale"]) == (steps, guidance)
        assert "image" not in made.facts


def test_image_to_video_begins_with_each_rows_picture_or_video(
    train_spec, validation_file, tiny_wan_i2v, fastvideo_fixtures, make_clip, tmp_path, run_folder, events_of
):
    Image.new("RGB", (96, 64), "red").save(tmp_path / "red.png")
    make_clip(tmp_path / "clip.mp4", seconds=0.5)
    rows = {"caption": "a", "image_path": "red.png"}, {"caption": "b", "image_path": None, "video_path": "clip.mp4"}
    folder, i2v = run_folder(), {"model": str(tiny_wan_i2v), "parquet": str(fastvideo_fixtures / "i2v"), "steps": 1}
    run(train_spec(**i2v, validation=validation_file(*rows)), folder)
    samples = [made for made in events_of(folder, ArtifactMade) if made.kind == "sample"]
    wanted = [str(tmp_path / "red.png"), str(tmp_path / "clip.mp4")]
    assert [made.facts["image"] for made in samples] == wanted * 2
    with pytest.raises(SpecError, match=r"Row 2 of .* names no image_path or video_path to begin with"):
        run(train_spec(**i2v, validation=validation_file(rows[0], {"caption": "without"})), run_folder("refused"))


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([], r"names no videos to sample; write \{\"data\": \[\{\"caption\""),
        ([{"caption": "a"}, {"prompt": "b"}], "Row 2 of .* does not hold: caption: Field required"),
        ([{"caption": "a", "num_frames": 18}], r"Row 1 of .*: Wan takes 4k\+1 frames; 18 is not, the nearest are 17"),
    ],
)
def test_rows_that_cannot_be_sampled_are_refused_before_the_model_is_loaded(
    train_spec, validation_file, run_folder, rows, sentence
):
    with pytest.raises(SpecError, match=sentence):
        run(train_spec(validation=validation_file(*rows)), run_folder())


def test_a_missing_file_is_said(train_spec, run_folder, tmp_path):
    with pytest.raises(SpecError, match=r"There is no validation file at .*nowhere.json; check the path"):
        run(train_spec(validation=Validation(file=str(tmp_path / "nowhere.json"))), run_folder())


def test_a_file_and_prompts_together_are_refused():
    with pytest.raises(ValidationError, match="the validation file names the prompts and images"):
        Validation(file="validation.json", prompts=["waves"])
