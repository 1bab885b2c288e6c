"""Runs whose weights are sharded learn what one process learns, and go on in any number of processes."""

import signal
import time

import pytest
import torch
from safetensors.torch import load_file

from fastvideo_engine.errors import SpecError
from fastvideo_engine.events import Note, Progress
from fastvideo_engine.specs import Full, Lora, Optimizer, Saving, Scale, Validation
from fastvideo_engine.training.loop import run
from fastvideo_engine.training.sharding import check_scale

STEADY = Optimizer(learning_rate=1e-4, warmup_steps=0)
PROMPTS = Validation(prompts=["a ball", "waves", "rain"], every=2, sampling_steps=2, guidance_scale=2)


def _exported(folder):
    newest = folder.newest_checkpoint()
    whole = newest.transformer("transformer") / "diffusion_pytorch_model.safetensors"
    return load_file(whole if whole.exists() else newest.adapter)


def _told(folder, events_of):
    events = [event for event in events_of(folder, Progress) if "loss" in event.metrics]
    return [[event.metrics[name] for event in events] for name in ("loss", "gradient_norm")]


def _assert_same(folder, other, events_of):
    for ours, theirs in zip(_told(folder, events_of), _told(other, events_of), strict=True):
        assert ours == pytest.approx(theirs, rel=2e-5)
    # Adam makes whole steps of gradients that are little but rounding, so the weights are a little further apart.
    torch.testing.assert_close(_exported(folder), _exported(other), rtol=0, atol=5e-6)


def test_two_shards_learn_what_one_process_learns_and_one_process_goes_on_from_them(
    train_spec, run_folder, train_in_processes, events_of
):
    one, two = run_folder("one"), run_folder("two")
    asked = {"tuning": Full(), "ema_decay": 0.5, "optimizer": STEADY, "saving": Saving(every=2)}
    run(train_spec(batch_size=2, **asked), one)
    train_in_processes(2, train_spec(steps=2, scale=Scale(hsdp_shard_dim=2), **asked), two)
    assert two.newest_checkpoint().training_shards.is_dir()
    run(train_spec(batch_size=2, **asked), two)
    _assert_same(two, one, events_of)


@pytest.mark.slow
@pytest.mark.parametrize("tuning", [Full(), Lora(rank=4, alpha=8)])
def test_stopping_and_resuming_shards_equals_never_stopping(train_spec, run_folder, train_in_processes, tuning):
    straight, stopped = run_folder("straight"), run_folder("stopped")
    asked = {"tuning": tuning, "ema_decay": 0.5, "scale": Scale(hsdp_shard_dim=2), "saving": Saving(every=2)}
    train_in_processes(2, train_spec(**asked), straight)
    train_in_processes(2, train_spec(steps=2, **asked), stopped)
    train_in_processes(2, train_spec(**asked), stopped)
    ours, theirs = _exported(stopped), _exported(straight)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.slow
def test_a_run_of_one_process_goes_on_in_shards(train_spec, run_folder, train_in_processes, events_of):
    one, two = run_folder("one"), run_folder("two")
    asked = {"tuning": Full(), "optimizer": STEADY, "saving": Saving(every=2)}
    run(train_spec(batch_size=2, **asked), one)
    run(train_spec(batch_size=2, steps=2, **asked), two)
    train_in_processes(2, train_spec(scale=Scale(hsdp_shard_dim=2), **asked), two)
    _assert_same(two, one, events_of)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("batch_size", "scale"),
    [
        (4, Scale(hsdp_shard_dim=2, hsdp_replicate_dim=2)),
        (2, Scale(hsdp_shard_dim=2, sp_size=2)),
        (1, Scale(hsdp_shard_dim=4, sp_size=2)),
    ],
)
def test_four_processes_learn_what_one_learns_from_the_same_batch(
    train_spec, run_folder, train_in_processes, events_of, batch_size, scale
):
    one, four = run_folder("one"), run_folder("four")
    parts = 4 // scale.sp_size
    asked = {"tuning": Lora(rank=4, alpha=8), "steps": 2, "optimizer": STEADY, "validation": PROMPTS}
    run(train_spec(batch_size=batch_size * parts, **asked), one)
    train_in_processes(4, train_spec(batch_size=batch_size, scale=scale, **asked), four)
    _assert_same(four, one, events_of)
    assert [four.sample(step, number).exists() for step in (0, 2) for number in range(3)] == [True] * 6


@pytest.mark.slow
def test_computing_in_bfloat16_shards_nearly_like_one_process(train_spec, run_folder, train_in_processes, events_of):
    one, two = run_folder("one"), run_folder("two")
    asked = {"tuning": Full(), "precision": "bfloat16", "optimizer": STEADY}
    run(train_spec(batch_size=2, **asked), one)
    train_in_processes(2, train_spec(scale=Scale(hsdp_shard_dim=2), **asked), two)
    assert _told(two, events_of)[0] == pytest.approx(_told(one, events_of)[0], rel=2e-2)
    assert {weight.dtype for weight in _exported(two).values()} == {torch.float32}


def test_weights_kept_in_main_memory_learn_the_same(train_spec, run_folder, events_of):
    plain, kept = run_folder("plain"), run_folder("kept")
    run(train_spec(steps=2), plain)
    run(train_spec(steps=2, scale=Scale(cpu_offload=True)), kept)
    _assert_same(kept, plain, events_of)


@pytest.mark.slow
def test_a_run_killed_while_it_saves_goes_on_from_the_checkpoint_before(
    train_spec, run_folder, start_training, train_in_processes
):
    straight, killed = run_folder("straight"), run_folder("killed")
    asked = {"tuning": Full(), "scale": Scale(hsdp_shard_dim=2), "saving": Saving(every=1), "steps": 30}
    train_in_processes(2, train_spec(**asked), straight)
    processes = start_training(2, train_spec(**asked), killed)
    while not any(killed.checkpoints.glob(".step-00000[3-9].part/*")):
        time.sleep(0.001)
    for process in processes:
        process.send_signal(signal.SIGKILL)
    assert [process.wait() for process in processes] == [-signal.SIGKILL] * 2
    assert 2 <= killed.newest_checkpoint().step < 30
    train_in_processes(2, train_spec(**asked), killed)
    ours, theirs = _exported(killed), _exported(straight)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(
    ("scale", "problem"),
    [
        (Scale(hsdp_shard_dim=3), "4 processes cannot be 3 shards; start as many as replicas times shards"),
        (Scale(hsdp_shard_dim=2, hsdp_replicate_dim=4), "4 processes cannot be 4 replicas of 2 shards"),
        (Scale(sp_size=3), "4 processes cannot share clips 3 by 3; set scale.sp_size to a divisor"),
        (Scale(sp_size=4), "12 attention heads cannot be divided among 4 processes; .* one of 1, 2"),
    ],
)
def test_numbers_that_do_not_divide_are_refused(scale, problem):
    with pytest.raises(SpecError, match=problem.replace("12", "6")):
        check_scale(scale, processes=4, heads=6)


def test_a_run_is_refused_before_the_model_is_loaded(train_spec, run_folder):
    with pytest.raises(SpecError, match="1 processes cannot be 2 shards"):
        run(train_spec(scale=Scale(hsdp_shard_dim=2)), run_folder())
    with pytest.raises(SpecError, match=r"cannot run on the kernel cudnn here .* set scale\.sdpa to auto"):
        run(train_spec(scale=Scale(sdpa="cudnn")), run_folder())


def test_the_kernel_that_is_asked_for_is_taken_and_said(train_spec, run_folder, events_of):
    plain, chosen = run_folder("plain"), run_folder("chosen")
    run(train_spec(steps=1), plain)
    run(train_spec(steps=1, scale=Scale(sdpa="math")), chosen)
    assert [note.text for note in events_of(chosen, Note)] == ["Dense attention runs on PyTorch's math kernel."]
    assert _told(chosen, events_of)[0] == pytest.approx(_told(plain, events_of)[0], rel=1e-5)


@pytest.mark.slow
def test_compiled_blocks_learn_the_same(train_spec, run_folder, events_of):
    plain, compiled = run_folder("plain"), run_folder("compiled")
    scale = Scale(compile=True, activation_checkpointing="selective")
    run(train_spec(steps=2, optimizer=STEADY), plain)
    run(train_spec(steps=2, optimizer=STEADY, scale=scale), compiled)
    _assert_same(compiled, plain, events_of)
