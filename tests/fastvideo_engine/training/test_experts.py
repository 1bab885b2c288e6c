"""Two experts: each learns its own noise levels, both are saved and go on exactly, and diffusers takes both."""

import pytest
import torch
from diffusers import UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
from safetensors.torch import load_file

from fastvideo_engine.adapters.applied import NAME
from fastvideo_engine.errors import ModelError
from fastvideo_engine.events import ArtifactMade, Progress
from fastvideo_engine.families import family_of_folder
from fastvideo_engine.sampling import generate
from fastvideo_engine.specs import Flow, Full, GenerateSpec, Lora, Optimizer, Saving, Validation
from fastvideo_engine.training.flow_matching import drawn_part, sigma_table, sigmas_by_expert
from fastvideo_engine.training.loop import run


@pytest.fixture
def expert_spec(train_spec, tiny_a14b_t2v):
    def make(**changes):
        return train_spec(model=str(tiny_a14b_t2v), steps=6, **changes)

    return make


@pytest.mark.parametrize("shift", [1.0, 3.0, 12.0])
def test_noise_levels_go_to_the_expert_that_samples_them(tiny_a14b_t2v, shift):
    sigmas = sigma_table(shift)
    shared = sigmas_by_expert(sigmas, family_of_folder(tiny_a14b_t2v))
    assert torch.equal(torch.cat([*shared.values()]), sigmas)
    pipeline = WanPipeline.from_pretrained(tiny_a14b_t2v)
    scheduler = UniPCMultistepScheduler.from_config(pipeline.scheduler.config, flow_shift=shift)
    scheduler.set_timesteps(1000)
    boundary = pipeline.config.boundary_ratio * scheduler.config.num_train_timesteps
    high = int((scheduler.timesteps >= boundary).sum())
    # Its timesteps are whole numbers, cut off, so that the last of the first expert may count as one of the second.
    assert abs(len(shared["transformer"]) - high) <= 1
    assert shared["transformer"].min() * 1000 >= boundary > shared["transformer_2"].max() * 1000


def test_each_expert_is_drawn_as_often_as_its_noise_levels_are():
    sigmas = {"transformer": torch.ones(800), "transformer_2": torch.ones(200)}
    drawn = [drawn_part(number, 0, sigmas, Flow()) for number in range(2000)]
    assert drawn.count("transformer") / len(drawn) == pytest.approx(0.8, abs=0.03)
    only_low = {"transformer_2": torch.ones(200)}
    assert {drawn_part(number, 0, only_low, Flow()) for number in range(20)} == {"transformer_2"}


def _weights(folder):
    newest = folder.newest_checkpoint().path
    return {str(file.relative_to(newest)): load_file(file) for file in sorted(newest.rglob("*.safetensors"))}


@pytest.mark.parametrize("how", [{}, {"tuning": Full(), "ema_decay": 0.5}], ids=["lora", "averaged full"])
def test_both_experts_are_saved_and_go_on_as_if_never_stopped(expert_spec, run_folder, events_of, how):
    straight, resumed = run_folder("straight"), run_folder("resumed")
    run(expert_spec(**how), straight)
    run(expert_spec(**how).model_copy(update={"steps": 3}), resumed)
    run(expert_spec(**how), resumed)
    one, other = _weights(straight), _weights(resumed)
    assert one.keys() == other.keys()
    for file, weights in one.items():
        assert all(torch.equal(weights[name], other[file][name]) for name in weights)
    names = (
        ["transformer", "transformer_2"] if how else ["adapter/high_noise.safetensors", "adapter/low_noise.safetensors"]
    )
    made = events_of(straight, ArtifactMade)
    assert [each.path for each in made] == [f"checkpoints/step-000006/{name}" for name in names]


@pytest.mark.parametrize(("experts", "part"), [("high", "transformer"), ("low", "transformer_2")])
def test_one_expert_alone_learns_and_is_sampled_with_the_other(
    expert_spec, tiny_a14b_t2v, run_folder, events_of, experts, part
):
    folder = run_folder()
    validation = Validation(prompts=["waves"], every=6, sampling_steps=3, guidance_scale=1)
    run(expert_spec(experts=experts, tuning=Full(), validation=validation), folder)
    (transformer,) = (made for made in events_of(folder, ArtifactMade) if made.kind == "transformer")
    trained = WanTransformer3DModel.from_pretrained(folder.path / transformer.path)
    base = WanTransformer3DModel.from_pretrained(tiny_a14b_t2v, subfolder=part)
    assert transformer.path.endswith(f"/{part}")
    assert not torch.equal(trained.proj_out.weight, base.proj_out.weight)
    assert len([made for made in events_of(folder, ArtifactMade) if made.kind == "sample"]) == 2
    assert len(events_of(folder, Progress)) == 6


def test_diffusers_and_generate_take_both_adapters(expert_spec, tiny_a14b_t2v, run_folder, events_of):
    folder, made = run_folder(), run_folder("made")
    run(expert_spec(saving=Saving(every=6)), folder)
    adapters = folder.newest_checkpoint().path / "adapter"
    stock = WanPipeline.from_pretrained(tiny_a14b_t2v)
    stock.load_lora_weights(adapters / "high_noise.safetensors", adapter_name=NAME)
    stock.load_lora_weights(adapters / "low_noise.safetensors", adapter_name=NAME, load_into_transformer_2=True)
    for transformer in (stock.transformer, stock.transformer_2):
        changed = [weight for name, weight in transformer.named_parameters() if f"lora_B.{NAME}" in name]
        assert len(changed) == 16
        assert all(weight.any() for weight in changed)
    small = {"height": 64, "width": 96, "frames": 5, "sampling_steps": 2, "prompts": ["waves"]}
    generate.run(GenerateSpec(model=str(tiny_a14b_t2v), adapter=str(adapters), **small), made)
    texts = [event.text for event in events_of(made) if hasattr(event, "text")]
    assert [text for text in texts if "changes" in text] == [
        "high_noise.safetensors changes 16 weights of the transformer.",
        "low_noise.safetensors changes 16 weights of the transformer_2.",
    ]


def test_both_experts_begin_from_the_adapters_of_a_folder(expert_spec, run_folder, events_of):
    first, second = run_folder("first"), run_folder("second")
    run(expert_spec(), first)
    adapters = first.newest_checkpoint().path / "adapter"
    still = Optimizer(learning_rate=1e-12, warmup_steps=0, weight_decay=0)
    run(expert_spec(tuning=Lora(rank=4, alpha=8, init_from=str(adapters)), optimizer=still), second)
    before, after = _weights(first), _weights(second)
    for file, weights in before.items():
        for name, weight in weights.items():
            torch.testing.assert_close(after[file][name], weight, rtol=1e-5, atol=1e-7)
    low = Lora(rank=4, alpha=8, init_from=str(adapters / "low_noise.safetensors"))
    with pytest.raises(ModelError, match="is for the other expert than is to be trained; choose its own adapter"):
        run(expert_spec(experts="high", tuning=low), run_folder("refused"))
