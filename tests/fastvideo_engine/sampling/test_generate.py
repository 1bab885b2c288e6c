"""Generating: videos and what is told of them, adapters by strength, and what is refused."""

import json
import shutil

import numpy as np
import pytest
import torch

from fastvideo_engine.adapters.applied import adapter_of
from fastvideo_engine.components import load_transformer
from fastvideo_engine.errors import ModelError, SpecError
from fastvideo_engine.events import ArtifactMade, Finished, Progress
from fastvideo_engine.families import FAMILIES
from fastvideo_engine.media import read_rgb_frames
from fastvideo_engine.sampling.generate import run
from fastvideo_engine.specs import GenerateSpec, Lora
from fastvideo_engine.training.lora import adapter_weights, add_adapter, save_adapter

SMALL = {"height": 64, "width": 96, "frames": 9, "sampling_steps": 3, "guidance_scale": 3.0}


@pytest.fixture
def generate_spec(tiny_wan):
    def make(**changes) -> GenerateSpec:
        return GenerateSpec(
            **{"model": str(tiny_wan), "prompts": ["a red ball", "waves"], "seeds": [5], **SMALL} | changes
        )

    return make


@pytest.fixture
def adapter(tiny_wan, tmp_path):
    """An adapter that changes the model strongly."""
    transformer = load_transformer(tiny_wan, torch.device("cpu"))
    add_adapter(transformer, FAMILIES[0], Lora(rank=4), seed=0)
    torch.manual_seed(0)
    for weight in adapter_weights(transformer).values():
        weight.data.copy_(torch.randn_like(weight))
    save_adapter(adapter_of(transformer), tmp_path / "adapter.safetensors", {})
    return str(tmp_path / "adapter.safetensors")


def _video(folder, number=0, **of):
    path = folder.sample(0, number, **of)
    return np.stack(list(read_rgb_frames(path, range(SMALL["frames"])))).astype(float)


def test_each_prompt_becomes_another_video(generate_spec, run_folder):
    folder = run_folder()
    run(generate_spec(guidance_scale=30), folder)
    assert _video(folder, 0).shape == (9, 64, 96, 3)
    assert np.abs(_video(folder, 0) - _video(folder, 1)).mean() > 0.1


def test_each_video_is_reported_with_all_that_made_it(generate_spec, run_folder, events_of, adapter):
    folder = run_folder()
    run(generate_spec(adapter=adapter, strengths=[0.5]), folder)
    made = events_of(folder, ArtifactMade)
    assert [(each.kind, each.path, each.step) for each in made] == [
        ("sample", "samples/step-000000/prompt-00.mp4", 0),
        ("sample", "samples/step-000000/prompt-01.mp4", 0),
    ]
    wanted = SMALL | {
        "seed": 5,
        "prompt": "waves",
        "prompt_number": 1,
        "fps": 16.0,
        "adapter": adapter,
        "strength": 0.5,
    }
    assert made[1].facts == wanted
    assert [(event.done, event.total) for event in events_of(folder, Progress)] == [(1, 2), (2, 2)]
    assert events_of(folder)[-1].text == "All videos are done."


def test_an_adapter_changes_the_video_and_strength_zero_does_not(generate_spec, run_folder, adapter):
    base, zero, whole = run_folder("base"), run_folder("zero"), run_folder("whole")
    run(generate_spec(prompts=["waves"]), base)
    run(generate_spec(prompts=["waves"], adapter=adapter, strengths=[0]), zero)
    run(generate_spec(prompts=["waves"], adapter=adapter), whole)
    # Equal frames are not compressed to quite the same each time.
    assert np.abs(_video(base) - _video(zero)).mean() < 0.5
    assert np.abs(_video(base) - _video(whole)).mean() > 1


def test_each_seed_and_strength_has_its_video_and_a_rerun_makes_only_what_is_missing(
    generate_spec, run_folder, events_of, adapter
):
    base, folder = run_folder("base"), run_folder("product")
    run(generate_spec(prompts=["waves"]), base)
    # 0 after 1: what the adapter changed must be undone.
    spec = generate_spec(prompts=["waves"], seeds=[5, 6], strengths=[1.0, 0.0], adapter=adapter)
    run(spec, folder)
    assert np.abs(_video(base) - _video(folder, seed=5, strength=0.0)).mean() < 0.5
    assert np.abs(_video(base) - _video(folder, seed=5, strength=1.0)).mean() > 1
    assert np.abs(_video(base) - _video(folder, seed=6, strength=0.0)).mean() > 0.5
    told = [
        (each.path.partition("prompt-0")[2], each.facts["seed"], each.facts["strength"])
        for each in events_of(folder, ArtifactMade)
    ]
    product = [(5, 1.0), (6, 1.0), (5, 0.0), (6, 0.0)]
    assert told == [(f"0-seed-{seed}-strength-{strength}.mp4", seed, strength) for seed, strength in product]
    assert [(event.done, event.total) for event in events_of(folder, Progress)] == [(n, 4) for n in range(1, 5)]

    folder.sample(0, 0, 6, 1.0).unlink()
    run(spec, folder)
    assert [each.path.partition("prompt-0")[2] for each in events_of(folder, ArtifactMade)][4:] == [
        "0-seed-6-strength-1.0.mp4"
    ]


def test_a_finetuned_transformer_takes_the_place_of_the_bases(generate_spec, run_folder, events_of, tiny_wan, tmp_path):
    tuned, base, made = tmp_path / "step-000010" / "transformer", run_folder("base"), run_folder("made")
    transformer = load_transformer(tiny_wan, torch.device("cpu"))
    torch.nn.init.normal_(transformer.proj_out.weight)
    transformer.save_pretrained(tuned)
    other = tmp_path / "model"
    shutil.copytree(tiny_wan, other, ignore=shutil.ignore_patterns("transformer"))
    shutil.copytree(tuned, other / "transformer")
    run(generate_spec(model=str(other), prompts=["waves"]), base)
    run(generate_spec(transformer=str(tuned), prompts=["waves"]), made)
    assert np.abs(_video(base) - _video(made)).mean() < 0.5
    assert events_of(made, ArtifactMade)[0].facts["transformer"] == str(tuned)


def test_a_transformer_of_another_architecture_is_refused(generate_spec, run_folder, tiny_wan, tmp_path):
    shutil.copytree(tiny_wan / "transformer", tmp_path / "transformer")
    config = tmp_path / "transformer" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"num_layers": 9}))
    with pytest.raises(ModelError, match=r"does not fit the base model \(its num_layers is 9, the base's \d\)"):
        run(generate_spec(transformer=str(tmp_path / "transformer")), run_folder())


def test_specs_that_name_one_seed_and_one_strength_are_still_read():
    spec = GenerateSpec(model="m", prompts=["a"], seed=7, strength=0.5)
    assert (spec.seeds, spec.strengths) == ([7], [0.5])
    with pytest.raises(ValueError, match="7 is there more than once"):
        GenerateSpec(model="m", prompts=["a"], seeds=[7, 7])
    with pytest.raises(ValueError, match="name an adapter, or one strength"):
        GenerateSpec(model="m", prompts=["a"], strengths=[0, 1])


def test_a_stop_ends_sampling_and_the_videos_made_are_not_made_again(generate_spec, run_folder, events_of):
    folder = run_folder()
    run(generate_spec(prompts=["a red ball"]), folder)
    made = folder.sample(0, 0).stat().st_mtime_ns
    folder.ask_to_stop()
    run(generate_spec(), folder)
    assert events_of(folder)[-1].text == "Stopped after 1 of 2 videos, which are kept."
    folder.forget_stop()
    run(generate_spec(), folder)
    assert folder.sample(0, 0).stat().st_mtime_ns == made
    assert len(events_of(folder, Finished)) == 2


def test_sizes_that_the_family_cannot_make_are_refused_with_the_nearest(generate_spec, run_folder):
    with pytest.raises(SpecError, match=r"width .* 100 is not, the nearest is 96\. Wan takes 4k\+1 frames"):
        run(generate_spec(width=100, frames=10), run_folder())


def test_a_missing_adapter_is_refused(generate_spec, run_folder, tmp_path):
    with pytest.raises(ModelError, match="There is no adapter at"):
        run(generate_spec(adapter=str(tmp_path / "none.safetensors")), run_folder())
