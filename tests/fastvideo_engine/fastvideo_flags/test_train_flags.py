"""FastVideo's training commands mean here what its documentation says, however their flags are spelled."""

import json
import os
import re
import shlex
import subprocess
import sys

import pytest

from fastvideo_engine.__main__ import carry_out
from fastvideo_engine.command_line import spec_asked_for
from fastvideo_engine.errors import SpecError
from fastvideo_engine.events import Note
from fastvideo_engine.fastvideo_flags.train import asked_by
from fastvideo_engine.specs import Dense, TrainSpec, Vsa
from fastvideo_engine.specs.scale import Scale
from fastvideo_engine.training.sharding import check_scale

_NEEDED = shlex.split("--model_path a/b --data_path ./data --output_dir ./out --max_train_steps 9 --learning_rate 1e-5")
# FastVideo's examples/training/finetune/wan_t2v_1.3B/crush_smol/finetune_t2v.sh, but for the paths.
_FULL = """
    --tracker_project_name wan_t2v_finetune --output_dir OUT --max_train_steps 5000 --train_batch_size 1
    --train_sp_batch_size 1 --gradient_accumulation_steps 8 --num_latent_t 20 --num_height 480 --num_width 832
    --num_frames 77 --enable_gradient_checkpointing_type full --num_gpus 1 --sp_size 1 --tp_size 1
    --hsdp_replicate_dim 1 --hsdp_shard_dim 1 --model_path MODEL --pretrained_model_name_or_path MODEL
    --data_path DATA --dataloader_num_workers 1 --log_validation --validation_dataset_file VALIDATION
    --validation_steps 200 --validation_sampling_steps "50" --validation_guidance_scale "6.0" --learning_rate 5e-5
    --mixed_precision bf16 --weight_only_checkpointing_steps 1000 --training_state_checkpointing_steps 1000
    --weight_decay 1e-4 --max_grad_norm 1.0 --inference_mode False --checkpoints_total_limit 3
    --training_cfg_rate 0.1 --multi_phased_distill_schedule "4000-1" --not_apply_cfg_solver --dit_precision fp32
    --num_euler_timesteps 50 --ema_start_step 0
"""
# finetune_t2v_lora.sh, whose path to resume from is another machine's, and finetune_i2v.sh, as far as they differ.
_LORA = f"{_FULL} --lora_rank 32 --lora_training True --resume_from_checkpoint elsewhere/checkpoint-160"
_I2V = f"{_FULL} --num_latent_t 8 --learning_rate 1e-5 --gradient_accumulation_steps 1 --validation_guidance_scale 1.0"
# Wan2.1-VSA/Wan-Syn-Data/T2V-14B-VSA.slurm, likewise.
_VSA = f"{_FULL} --VSA_decay_rate 0.03 --VSA_decay_interval_steps 1 --VSA_sparsity 0.9 --flow_shift 5 --seed 1000"
# Name, another value, the field of the spec that it ends up in, and what it means there.
_TABLE = [
    ("model_path", "c/d", "model", "c/d"),
    ("pretrained_model_name_or_path", "c/d", "model", "c/d"),
    ("workload_type", "i2v", "workload", "i2v"),
    ("num_latent_t", "8", "latent_frames", 8),
    ("num_height", "480", "validation.height", 480),
    ("num_width", "832", "validation.width", 832),
    ("train_batch_size", "3", "batch_size", 3),
    ("gradient_accumulation_steps", "8", "gradient_accumulation", 8),
    ("max_train_steps", "70", "steps", 70),
    ("seed", "7", "seed", 7),
    ("seed", "7", "validation.seed", 7),
    ("num_gpus", "4", "processes", 4),
    ("hsdp_shard_dim", "4", "scale.hsdp_shard_dim", 4),
    ("hsdp_replicate_dim", "2", "scale.hsdp_replicate_dim", 2),
    ("sp_size", "2", "scale.sp_size", 2),
    ("enable_gradient_checkpointing_type", "full", "scale.activation_checkpointing", "full"),
    ("enable_gradient_checkpointing_type", "block_skip", "scale.activation_checkpointing", "full"),
    ("enable_gradient_checkpointing_type", "ops", "scale.activation_checkpointing", "selective"),
    ("training_cfg_rate", "0.1", "flow.caption_dropout", 0.1),
    ("flow_shift", "5", "flow.shift", 5.0),
    ("weighting_scheme", "logit_normal", "flow.timestep_sampling", "logit_normal"),
    ("logit_mean", "0.5", "flow.logit_mean", 0.5),
    ("logit_std", "2", "flow.logit_std", 2.0),
    ("mode_scale", "1.1", "flow.mode_scale", 1.1),
    ("learning_rate", "2e-4", "optimizer.learning_rate", 2e-4),
    ("lr_scheduler", "linear", "optimizer.schedule", "linear"),
    ("lr_scheduler", "constant_with_warmup", "optimizer.warmup_steps", 10),
    ("lr_scheduler", "cosine_with_min_lr", "optimizer.final_fraction", 0.5),
    ("weight_decay", "0.01", "optimizer.weight_decay", 0.01),
    ("betas", "0.8,0.95", "optimizer.beta2", 0.95),
    ("max_grad_norm", "0.5", "optimizer.max_gradient_norm", 0.5),
    ("use_ema", "True", "ema_decay", 0.999),
    ("checkpoints_total_limit", "3", "saving.keep", 3),
    ("training_state_checkpointing_steps", "40", "saving.every", 40),
]


def _spec(*arguments) -> TrainSpec:
    return spec_asked_for(asked_by([*_NEEDED, *arguments]))


def _field(spec, name):
    for part in name.split("."):
        spec = getattr(spec, part)
    return spec


@pytest.mark.parametrize(("name", "value", "field", "meaning"), _TABLE)
@pytest.mark.parametrize("spelling", ["dashes", "underscores"])
def test_both_spellings_mean_the_field(name, value, field, meaning, spelling):
    flag = f"--{name if spelling == 'underscores' else name.replace('_', '-')}"

    assert (_field(_spec(flag, value), field), _field(_spec(f"{flag}={value}"), field)) == (meaning, meaning)


def test_what_is_not_said_is_as_fastvideo_does_it():
    spec = _spec()

    assert (spec.tuning.method, spec.flow.shift, spec.flow.timestep_sampling, spec.seed) == ("full", 1, "uniform", 42)
    assert (spec.optimizer.schedule, spec.optimizer.warmup_steps, spec.ema_decay) == ("constant", 0, None)
    assert (spec.validation.file, spec.flow.caption_dropout) == (None, 0)


@pytest.mark.parametrize("flags", [[], ["--hsdp_shard_dim", "-1", "--sp_size=-1"]])
def test_clips_and_weights_are_divided_among_all_processes_unless_said(flags, monkeypatch):
    whole = Scale(hsdp_shard_dim=1, sp_size=1)
    four = Scale(hsdp_shard_dim=4, sp_size=4)
    assert (_spec(*flags).scale, _spec(*flags, "--num_gpus", "4").scale) == (whole, four)
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert _spec(*flags, "--num_gpus", "4").scale == Scale(hsdp_shard_dim=8, sp_size=8)


def test_fastvideos_meshes_are_those_that_the_processes_form():
    for replicas, shards in ((1, 8), (8, 1), (2, 4)):
        mesh = ["--hsdp_replicate_dim", str(replicas), "--hsdp_shard_dim", str(shards)]
        check_scale(_spec("--num_gpus", "8", "--sp_size", "4", *mesh).scale, processes=8, heads=12)
    with pytest.raises(SpecError, match="8 processes cannot be 2 replicas of 8 shards"):
        check_scale(_spec("--num_gpus", "8", "--hsdp_replicate_dim", "2").scale, processes=8, heads=40)


def test_data_may_be_weighted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    folders = _spec("--data_path", "a:3,b").parquet
    assert [(folder.path, folder.weight) for folder in folders] == [(f"{tmp_path}/a", 3), (f"{tmp_path}/b", 1)]


def test_lora_takes_the_alpha_that_is_given_or_the_rank():
    lora = ["--lora_training", "True", "--lora_rank", "32"]

    assert (_spec(*lora).tuning.rank, _spec(*lora).tuning.alpha) == (32, 32)
    assert _spec(*lora, "--lora_alpha", "64").tuning.alpha == 64


def test_layers_are_named_by_a_part_of_their_name():
    lora = shlex.split("--lora_training --lora_rank 4 --lora_target_modules to_q to_out to_gate_compress")
    names = ("blocks.0.attn1.to_q", "blocks.0.attn2.to_out.0", "condition_embedder.to_q", "blocks.0.attn1.to_k")

    targets = _spec(*lora).tuning.targets
    assert [[name for name in names if re.fullmatch(target, name)] for target in targets] == [[names[0]], [names[1]]]


def test_sparse_attention_is_asked_for_by_its_sparsity():
    assert _spec("--VSA_decay_rate", "0.03").attention == Dense()
    vsa = _spec("--VSA_sparsity", "0.9", "--VSA_decay_rate", "0.03", "--VSA_decay_interval_steps", "50").attention
    assert vsa == Vsa(sparsity=0.9, rise=0.03, rise_every=50)


def test_validation_is_asked_for_only_where_it_is_switched_on(tmp_path):
    file = ["--validation_dataset_file", str(tmp_path / "v.json"), "--validation_steps", "20"]
    several = ["--validation_sampling_steps", "10,50", "--validation_guidance_scale", "3.0"]

    validation = _spec(*file, *several, "--log_validation").validation
    assert (validation.file, validation.every, validation.sampling_steps) == (str(tmp_path / "v.json"), 20, 10)
    assert validation.guidance_scale == 3
    assert _spec(*file).validation.file is None


def test_torchrun_decides_on_the_processes(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "8")

    assert _spec("--num_gpus", "4").processes == 8


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([*_NEEDED, "--max_train_step", "480"], "unrecognized arguments: --max-train-step"),
        (_NEEDED[2:], "--pretrained-model-name-or-path is missing; give a folder"),
        (_NEEDED[:2] + _NEEDED[4:], "--data-path is missing; give the folder"),
        (_NEEDED[:-2], "--learning-rate is missing; give a number"),
        ([*_NEEDED, "--lora_training"], "--lora-rank is missing"),
        ([*_NEEDED, "--log_validation"], "--validation-dataset-file is missing"),
        ([*_NEEDED, "--precondition_outputs"], "--precondition-outputs is not offered"),
        ([*_NEEDED, "--betas", "0.9"], "argument --betas: invalid"),
    ],
)
def test_a_mistake_leaves_with_a_sentence(arguments, sentence, capsys):
    with pytest.raises(SystemExit) as leaving:
        asked_by(arguments)

    assert leaving.value.code == 2
    assert sentence in capsys.readouterr().err


def test_each_flag_without_effect_is_named_once():
    told = asked_by(shlex.split(_LORA)).notices

    assert "--resume-from-checkpoint is not needed" in told[0]
    nothing = told[-1].removeprefix("No effect in training: ").removesuffix(".").split(", ")
    assert {*nothing} >= {"--mixed-precision", "--not-apply-cfg-solver", "--ema-start-step", "--tp-size"}
    assert len(nothing) == len({*nothing})


@pytest.fixture
def small(monkeypatch, tmp_path, tiny_wan, tiny_wan_i2v, fastvideo_fixtures):
    """Make a documented command small: the fixtures' model and data, two steps, one sample of few pixels."""

    monkeypatch.setenv("WANDB_MODE", "offline")

    def make(command: str, workload: str = "t2v") -> list[str]:
        row = {"caption": "a ball", "height": 32, "width": 32, "num_frames": 5, "num_inference_steps": 1}
        if workload == "i2v":
            row["video_path"] = str(next((fastvideo_fixtures / "dataset" / "videos").iterdir()))
        (tmp_path / "validation.json").write_text(json.dumps({"data": [row]}))
        put = {"OUT": tmp_path / "run", "DATA": fastvideo_fixtures / workload, "5000": 2, "200": 2, "8": 1}
        put |= {"MODEL": tiny_wan_i2v if workload == "i2v" else tiny_wan, "VALIDATION": tmp_path / "validation.json"}
        return [str(put.get(word, word)) for word in shlex.split(command)]

    return make


@pytest.mark.parametrize(
    ("command", "workload", "kind"),
    [
        (_FULL, "t2v", "transformer"),
        (_LORA, "t2v", "adapter.safetensors"),
        (_I2V, "i2v", "transformer"),
        (_VSA, "t2v", "transformer"),
    ],
)
def test_the_documented_commands_train(small, run_folder, command, workload, kind):
    assert carry_out(asked_by(small(command, workload))) == 0

    folder = run_folder()
    assert [checkpoint.step for checkpoint in folder.complete_checkpoints()] == [2]
    assert (folder.newest_checkpoint().path / kind).exists()
    assert folder.sample(2, 0).exists()


@pytest.mark.slow
def test_the_documented_command_trains_in_two_processes(small, run_folder, events_of):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    mesh = ["--num_gpus", "2", "--hsdp_shard_dim", "2"]
    command = [*launcher, "-m", "fastvideo_engine.train", *small(_LORA), *mesh]

    told = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300
    )

    assert told.returncode == 0, told.stderr
    folder = run_folder()
    assert [checkpoint.step for checkpoint in folder.complete_checkpoints()] == [2]
    assert [note.text for note in events_of(folder, Note)].count(asked_by(small(_LORA)).notices[0]) == 1
