"""Whole runs with a small model: resuming, stopping, processes, what is reported, and what is refused."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from diffusers import WanTransformer3DModel
from safetensors.torch import load_file

from fastvideo_engine.errors import EngineError, SpecError, StorageError
from fastvideo_engine.events import ArtifactMade, Finished, Note, Progress
from fastvideo_engine.media import probe
from fastvideo_engine.specs import Flow, Full, Lora, Optimizer, Saving, Validation
from fastvideo_engine.training.loop import run

PROMPTS = Validation(prompts=["a red ball", "waves"], every=2, sampling_steps=2, guidance_scale=2)


def _state(folder):
    return torch.load(folder.newest_checkpoint().training_state, weights_only=True)


def _weights(folder):
    newest = folder.newest_checkpoint()
    whole = newest.transformer("transformer") / "diffusion_pytorch_model.safetensors"
    return load_file(whole) if whole.exists() else _state(folder)["weights"]


def _mean_gradients(folder):
    return [moments["exp_avg"] for moments in _state(folder)["optimizer"]["state"].values()]


def _same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def _losses(events, name="loss"):
    return [event.metrics[name] for event in events if isinstance(event, Progress) and name in event.metrics]


@pytest.fixture
def with_held_out(fastvideo_fixtures, tmp_path):
    """Lay FastVideo's clips out as preprocessing does: three held out of training."""
    rows = pq.read_table(fastvideo_fixtures / "t2v" / "data_chunk_0.parquet")
    for name, part in (("combined_parquet_dataset", rows[:5]), ("validation_parquet_dataset", rows[5:])):
        (tmp_path / "data" / name).mkdir(parents=True)
        pq.write_table(part, tmp_path / "data" / name / "x.parquet")
    return str(tmp_path / "data" / "combined_parquet_dataset")


@pytest.mark.parametrize(
    "how",
    [
        {"batch_size": 3},
        {"tuning": Full(), "gradient_accumulation": 2, "flow": Flow(caption_dropout=0.5)},
        {"tuning": Full(), "precision": "bfloat16", "flow": Flow(timestep_sampling="logit_normal")},
        {"ema_decay": 0.5, "gradient_accumulation": 2},
        {"tuning": Full(), "ema_decay": 0.5},
        {"tuning": Lora(rank=4, dropout=0.3, weight_decomposed=True)},
    ],
    ids=["lora", "full", "full in bfloat16", "averaged lora", "averaged full", "dora with dropout"],
)
def test_resuming_gives_the_same_weights_as_never_stopping(train_spec, run_folder, events_of, how):
    straight, resumed = run_folder("straight"), run_folder("resumed")
    run(train_spec(steps=6, **how), straight)
    run(train_spec(steps=2, **how), resumed)
    run(train_spec(steps=6, **how), resumed)
    assert _same(_weights(straight), _weights(resumed))
    assert _same(_state(straight).get("average", {}), _state(resumed).get("average", {}))
    assert _losses(events_of(straight)) == _losses(events_of(resumed))
    assert [note.text for note in events_of(resumed, Note)] == ["Continued from step 2"]


def test_a_stop_keeps_a_checkpoint_from_which_the_run_goes_on_exactly(train_spec, run_folder, events_of):
    straight, stopped = run_folder("straight"), run_folder("stopped")
    run(train_spec(), straight)
    stopped.ask_to_stop()
    run(train_spec(), stopped)
    assert events_of(stopped)[-1].text == "Stopped at step 1; the checkpoint is kept."
    stopped.forget_stop()
    run(train_spec(), stopped)
    assert _same(_weights(straight), _weights(stopped))


def test_a_finished_run_only_says_so_again(train_spec, run_folder, events_of):
    folder = run_folder()
    run(train_spec(), folder)
    before = len(events_of(folder))
    run(train_spec(), folder)
    first, again = events_of(folder, Finished)
    assert len(events_of(folder)) == before + 1
    assert first.text == again.text
    assert first.text.startswith("4 steps are done; final loss ")


def test_each_step_and_checkpoint_is_reported(train_spec, run_folder, events_of):
    folder = run_folder()
    run(train_spec(saving=Saving(every=2, keep=1)), folder)
    progress = events_of(folder, Progress)
    assert [(event.done, event.total) for event in progress] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert set(progress[0].metrics) == {"loss", "gradient_norm", "learning_rate", "seconds_per_step"}
    assert [event.metrics["learning_rate"] for event in progress] == [0.005, 0.01, 0.01, 0.01]
    assert progress[0].seconds_left > 0 == progress[-1].seconds_left
    made = events_of(folder, ArtifactMade)
    assert [(each.kind, each.path, each.step) for each in made] == [
        ("adapter", "checkpoints/step-000002/adapter.safetensors", 2),
        ("adapter", "checkpoints/step-000004/adapter.safetensors", 4),
    ]
    assert made[0].facts == {"rank": 4, "alpha": 8.0, "layers": 16}
    assert [checkpoint.step for checkpoint in folder.complete_checkpoints()] == [4]


def test_samples_have_the_size_of_the_clips_and_say_how_they_were_made(train_spec, run_folder, events_of):
    folder = run_folder()
    run(train_spec(steps=2, validation=PROMPTS), folder)
    samples = [event for event in events_of(folder, ArtifactMade) if event.kind == "sample"]
    assert [(sample.step, sample.facts["prompt_number"]) for sample in samples] == [(0, 0), (0, 1), (2, 0), (2, 1)]
    assert samples[3].facts == {
        "prompt": "waves", "prompt_number": 1, "seed": 42, "sampling_steps": 2, "guidance_scale": 2.0,
        "height": 64, "width": 96, "frames": 17, "fps": 16.0,
    }  # fmt: skip
    facts = probe(folder.path / samples[0].path)
    assert (facts.width, facts.height, facts.frames, facts.fps) == (96, 64, 17, 16)


def test_a_resumed_run_samples_only_what_is_missing(train_spec, run_folder, events_of):
    folder = run_folder()
    run(train_spec(steps=2, validation=PROMPTS), folder)
    kept = folder.sample(0, 0).stat().st_mtime_ns
    folder.sample(2, 1).unlink()
    run(train_spec(steps=2, validation=PROMPTS), folder)
    assert folder.sample(0, 0).stat().st_mtime_ns == kept
    assert folder.sample(2, 1).exists()
    assert len(events_of(folder, ArtifactMade)) == 2 + 1 + 2 + 1


def test_a_stop_during_the_first_samples_ends_the_run_at_once(train_spec, run_folder, events_of):
    folder = run_folder()
    folder.ask_to_stop()
    run(train_spec(validation=PROMPTS), folder)
    assert events_of(folder)[-1].text == "Stopped at step 0."
    assert not folder.samples.exists()
    assert events_of(folder, Progress) == []


def test_sampling_while_training_does_not_change_what_is_learnt(train_spec, run_folder):
    plain, sampled = run_folder("plain"), run_folder("sampled")
    run(train_spec(), plain)
    run(train_spec(validation=PROMPTS), sampled)
    assert _same(_weights(plain), _weights(sampled))


def test_two_processes_learn_what_one_learns_from_twice_the_batch(
    train_spec, run_folder, train_in_two_processes, events_of, with_held_out
):
    one, two = run_folder("one"), run_folder("two")
    shared = {
        "optimizer": Optimizer(learning_rate=1e-4, warmup_steps=0),
        "validation": PROMPTS,
        "parquet": with_held_out,
    }
    run(train_spec(batch_size=2, **shared), one)
    train_in_two_processes(train_spec(batch_size=1, **shared), two)
    torch.testing.assert_close(_mean_gradients(two), _mean_gradients(one), rtol=0, atol=1e-6)
    # Adam makes whole steps of gradients that are little but rounding, so the weights are a little further apart.
    torch.testing.assert_close(_weights(two), _weights(one), rtol=0, atol=5e-6)
    assert _losses(events_of(two)) == pytest.approx(_losses(events_of(one)), abs=1e-6)
    assert _losses(events_of(two), "validation_loss") == pytest.approx(
        _losses(events_of(one), "validation_loss"), abs=1e-6
    )
    kinds = [(event.kind, event.path) for event in events_of(one, ArtifactMade)]
    assert [(event.kind, event.path) for event in events_of(two, ArtifactMade)] == kinds


@pytest.mark.slow
def test_two_processes_that_add_up_batches_train_all_weights_as_one_does(
    train_spec, run_folder, train_in_two_processes, events_of
):
    one, two = run_folder("one"), run_folder("two")
    shared = {"tuning": Full(), "ema_decay": 0.5, "optimizer": Optimizer(learning_rate=1e-5, warmup_steps=0)}
    run(train_spec(batch_size=4, **shared), one)
    train_in_two_processes(train_spec(batch_size=1, gradient_accumulation=2, **shared), two)
    torch.testing.assert_close(_mean_gradients(two), _mean_gradients(one), rtol=0, atol=1e-6)
    torch.testing.assert_close(_weights(two), _weights(one), rtol=0, atol=1e-6)
    assert _losses(events_of(two)) == pytest.approx(_losses(events_of(one)), abs=1e-6)


def test_parts_of_a_batch_add_up_to_the_whole(train_spec, run_folder, events_of):
    whole, parts = run_folder("whole"), run_folder("parts")
    run(train_spec(steps=2, tuning=Full(), batch_size=4), whole)
    run(train_spec(steps=2, tuning=Full(), batch_size=2, gradient_accumulation=2), parts)
    torch.testing.assert_close(_mean_gradients(parts), _mean_gradients(whole), rtol=0, atol=1e-6)
    assert _losses(events_of(parts)) == pytest.approx(_losses(events_of(whole)), rel=1e-5)


def test_a_full_run_writes_a_transformer_that_diffusers_loads_as_it_was_trained(
    train_spec, tiny_wan, run_folder, events_of
):
    folder = run_folder()
    run(train_spec(steps=2, tuning=Full(), saving=Saving(every=1)), folder)
    made = events_of(folder, ArtifactMade)
    assert [(each.kind, each.path) for each in made] == [
        ("transformer", f"checkpoints/step-00000{step}/transformer") for step in (1, 2)
    ]
    loaded = WanTransformer3DModel.from_pretrained(folder.path / made[1].path)
    base = WanTransformer3DModel.from_pretrained(tiny_wan / "transformer").state_dict()
    assert made[1].facts["parameters"] == sum(weight.numel() for weight in base.values())
    assert _same(loaded.state_dict(), _weights(folder))
    assert all(not torch.equal(weight, base[name]) for name, weight in loaded.state_dict().items())


def test_computing_in_bfloat16_keeps_float32_weights_and_nearly_the_loss(train_spec, run_folder, events_of):
    exact, quick = run_folder("exact"), run_folder("quick")
    run(train_spec(tuning=Full()), exact)
    run(train_spec(tuning=Full(), precision="bfloat16"), quick)
    assert {weight.dtype for weight in _weights(quick).values()} == {torch.float32}
    assert _losses(events_of(quick)) != _losses(events_of(exact))
    assert _losses(events_of(quick)) == pytest.approx(_losses(events_of(exact)), rel=2e-2)


def test_training_on_few_clips_lowers_the_loss(train_spec, run_folder, events_of):
    folder = run_folder()
    optimizer = Optimizer(learning_rate=2e-2, warmup_steps=5)
    run(train_spec(steps=150, batch_size=4, tuning=Lora(rank=16), optimizer=optimizer), folder)
    losses = _losses(events_of(folder))
    assert sum(losses[-20:]) < 0.9 * sum(losses[:20])


@pytest.fixture
def spoilt_parquet(fastvideo_fixtures, tmp_path):
    """Write FastVideo's clips again, some with latents that are not numbers."""

    def write(which):
        rows = pq.read_table(fastvideo_fixtures / "t2v" / "data_chunk_0.parquet").to_pylist()
        for number in which:
            rows[number]["vae_latent_bytes"] = np.full(rows[number]["vae_latent_shape"], np.nan, np.float32).tobytes()
        (tmp_path / "spoilt").mkdir()
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "spoilt" / "x.parquet", row_group_size=1)
        return str(tmp_path / "spoilt")

    return write


@pytest.mark.parametrize("tuning", [Lora(rank=4), Full()])
def test_a_step_whose_loss_is_no_number_is_skipped_and_said(train_spec, run_folder, events_of, spoilt_parquet, tuning):
    folder = run_folder()
    run(train_spec(steps=8, parquet=spoilt_parquet([3]), tuning=tuning, ema_decay=0.9), folder)
    (bad,) = [event.done for event in events_of(folder, Progress) if "loss" not in event.metrics]
    (note,) = events_of(folder, Note)
    assert note.text == f"Step {bad} was skipped: its loss or gradient is not a finite number."
    assert all(weight.isfinite().all() for weight in _weights(folder).values())
    moments = next(iter(_state(folder)["optimizer"]["state"].values()))
    assert moments["step"].item() == 7


def test_too_many_skipped_steps_end_the_run_with_a_checkpoint_that_nothing_moved(
    train_spec, run_folder, spoilt_parquet, tiny_wan
):
    folder = run_folder()
    spec = train_spec(parquet=spoilt_parquet(range(8)), tuning=Full(), optimizer=Optimizer(max_skipped_steps=3))
    with pytest.raises(EngineError, match=r"in 3 steps up to step 3, whose checkpoint is kept; lower the learning"):
        run(spec, folder)
    assert folder.newest_checkpoint().step == 3
    assert _same(_weights(folder), load_file(tiny_wan / "transformer" / "diffusion_pytorch_model.safetensors"))


def test_the_average_follows_the_weights_by_its_formula(train_spec, run_folder):
    folder = run_folder()
    run(train_spec(tuning=Full(), ema_decay=0.35, saving=Saving(every=1, keep=9)), folder)
    states = [torch.load(each.training_state, weights_only=True) for each in folder.complete_checkpoints()]
    name = "blocks.0.attn1.to_q.weight"
    wanted = load_file(Path(train_spec().model) / "transformer" / "diffusion_pytorch_model.safetensors")[name].double()
    for state, decay in zip(states, [2 / 11, 3 / 12, 4 / 13, 0.35], strict=True):
        wanted = decay * wanted + (1 - decay) * state["weights"][name].double()
    torch.testing.assert_close(_weights(folder)[name].double(), wanted, rtol=1e-6, atol=1e-7)
    assert not torch.equal(_weights(folder)[name], states[-1]["weights"][name])


def test_the_exported_adapter_holds_the_average(train_spec, run_folder):
    folder = run_folder()
    run(train_spec(ema_decay=0.5), folder)
    average, saved = _state(folder)["average"], load_file(folder.newest_checkpoint().adapter)
    ours = average["blocks.0.attn1.to_q.lora_A.default.weight"]
    assert torch.equal(saved["diffusion_model.blocks.0.self_attn.q.lora_A.weight"], ours)
    assert not torch.equal(ours, _state(folder)["weights"]["blocks.0.attn1.to_q.lora_A.default.weight"])


def test_a_run_does_not_go_on_with_other_adapters(train_spec, run_folder):
    folder = run_folder()
    run(train_spec(steps=1), folder)
    with pytest.raises(SpecError, match=r"begun with rank 4, alpha 8\.0 and cannot go on with rank 8, alpha 16"):
        run(train_spec(tuning=Lora(rank=8)), folder)


def test_a_checkpoint_that_cannot_be_written_is_said(train_spec, run_folder):
    folder = run_folder()
    folder.checkpoints.write_text("in the way")
    with pytest.raises(StorageError, match=r"The checkpoint of step 4 cannot be written .* make room and continue"):
        run(train_spec(), folder)


def test_what_a_killed_run_left_half_written_is_passed_over(train_spec, run_folder):
    folder, straight = run_folder(), run_folder("straight")
    run(train_spec(steps=2), folder)
    half = folder.checkpoint(3)
    half.path.mkdir()
    half.training_state.write_bytes(b"half")
    run(train_spec(saving=Saving(every=1)), folder)
    run(train_spec(), straight)
    assert half.is_complete
    assert _same(_weights(folder), _weights(straight))


def test_the_last_adapter_is_the_one_that_was_trained(train_spec, run_folder):
    folder = run_folder()
    run(train_spec(), folder)
    trained, saved = _weights(folder), load_file(folder.newest_checkpoint().adapter)
    assert torch.equal(
        saved["diffusion_model.blocks.0.self_attn.q.lora_A.weight"],
        trained["blocks.0.attn1.to_q.lora_A.default.weight"],
    )
    assert saved["diffusion_model.blocks.0.self_attn.q.lora_B.weight"].abs().max() > 0
