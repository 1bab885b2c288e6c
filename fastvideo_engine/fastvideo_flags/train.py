"""The flags of FastVideo's training commands: their names, defaults and meaning, and the spec that they ask for."""

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastvideo_engine.command_line import Asked
from fastvideo_engine.fastvideo_flags.parsing import Flag, parser_of, told_without_effect, values_and_rest, yes_or_no
from fastvideo_engine.run_folder import RunFolder

_PROGRAM = "fastvideo_engine.train"
# FastVideo's block_skip skips no block, and its ops keeps the matrix products too, for which there is no field.
_COMPUTED_AGAIN = {"full": "full", "ops": "selective", "block_skip": "full"}
_SCHEDULES = ("constant", "constant_with_warmup", "linear", "cosine", "cosine_with_min_lr")


def _two_numbers(text: str) -> tuple[float, float]:
    first, second = text.split(",")
    return float(first), float(second)


def _counts(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


FLAGS = (
    Flag("model-path", str, "", "the base model, where --pretrained-model-name-or-path names none"),
    Flag("pretrained-model-name-or-path", str, "", "the base model, a Hugging Face id or a folder"),
    Flag("workload-type", str, "auto", "for models that do both", ("auto", "t2v", "i2v")),
    Flag("data-path", str, "", "Parquet: a folder, or several with how often each comes, as in `a:3,b:1`"),
    Flag("output-dir", str, "", "the run folder; a run that is in it goes on"),
    Flag("num-gpus", int, 1, "processes, where torchrun has not started them"),
    Flag("hsdp-shard-dim", int, -1, "divide what is trained among so many processes; -1 means all"),
    Flag("hsdp-replicate-dim", int, None, "such groups of processes; as many as there are unless said"),
    Flag("sp-size", int, -1, "so many processes share the tokens of each clip; -1 means all"),
    Flag("enable-gradient-checkpointing-type", str, None, "what is computed again, not kept", tuple(_COMPUTED_AGAIN)),
    Flag("num-latent-t", int, None, "train on the first so many latent frames of each clip"),
    Flag("num-height", int, None, "of the validation videos"),
    Flag("num-width", int, None, "of the validation videos"),
    Flag("train-batch-size", int, 1, "clips at once in each process"),
    Flag("gradient-accumulation-steps", int, 1, "batches a step"),
    Flag("max-train-steps", int, None, "optimizer steps"),
    Flag("seed", int, 42, "of all that is chosen at random"),
    Flag("training-cfg-rate", float, 0.0, "share of samples trained with the empty caption, drawn anew at each visit"),
    Flag("learning-rate", float, None, "of AdamW"),
    Flag("lr-scheduler", str, "constant", "how the rate changes; constant has no warm-up", _SCHEDULES),
    Flag("lr-warmup-steps", int, 10, "the rate rises over these"),
    Flag("min-lr-ratio", float, 0.5, "what part of the rate cosine_with_min_lr ends at"),
    Flag("weight-decay", float, 1e-4, "of AdamW"),
    Flag("betas", _two_numbers, "0.9,0.999", "of AdamW"),
    Flag("max-grad-norm", float, 1.0, "longer gradients are scaled"),
    Flag("use-ema", yes_or_no, False, "sample and export averaged weights"),
    Flag("ema-decay", float, 0.999, "how long that average remembers"),
    Flag("flow-shift", float, 1.0, "of the noise levels; FastVideo's trainer takes 1 whatever it is told"),
    Flag("weighting-scheme", str, "uniform", "which noise levels", ("uniform", "logit_normal", "mode")),
    Flag("logit-mean", float, 0.0, "of logit_normal"),
    Flag("logit-std", float, 1.0, "of logit_normal"),
    Flag("mode-scale", float, 1.29, "of mode"),
    Flag("lora-training", yes_or_no, False, "train adapters and not the whole model"),
    Flag("lora-rank", int, None, "their size"),
    Flag("lora-alpha", float, None, "their weight times the rank, which is the default"),
    Flag("lora-target-modules", str, [], "parts of the names of the layers that have one", takes_several=True),
    Flag("VSA-sparsity", float, 0.0, "attend sparsely, passing over this share of the video's tiles in the end"),
    Flag("VSA-decay-rate", float, 0.01, "how much sparser it gets at a time"),
    Flag("VSA-decay-interval-steps", int, 1, "how often it gets sparser"),
    Flag("log-validation", yes_or_no, False, "sample videos while training"),
    Flag("validation-dataset-file", str, "", "what to sample"),
    Flag("validation-steps", float, 100, "how often"),
    Flag("validation-sampling-steps", _counts, "50", "denoising steps of a video"),
    Flag("validation-guidance-scale", float, 5.0, "weight of the prompt"),
    Flag("training-state-checkpointing-steps", int, 100, "how often to save a checkpoint"),
    Flag("checkpoints-total-limit", int, 5, "only the newest so many checkpoints stay"),
    Flag("resume-from-checkpoint", str, "", "not needed: a run goes on from the newest checkpoint in --output-dir"),
    Flag("tracker-project-name", str, "", "send the metrics to this project of wandb, where that is installed"),
    Flag("wandb-run-name", str, "", "as wandb calls the run"),
    Flag("dry-run", yes_or_no, False, "check all that can be checked, tell what would be done, and write nothing"),
    Flag("precondition-outputs", yes_or_no, False, "not offered"),
    Flag("transformer-quant", str, "", "not offered"),
    Flag("moba-config-path", str, "", "not offered"),
)
# Those without effect in FastVideo, those of distillation, and those that the engine decides by itself.
_WITHOUT_EFFECT = """
    mode dataloader-num-workers train-sp-batch-size num-frames
    group-frame group-resolution dit-model-name-or-path cache-dir logging-dir validation-preprocessed-path
    num-train-epochs generator-model-path real-score-model-path fake-score-model-path ema-start-step
    visualization-steps log-visualization weight-only-checkpointing-steps scale-lr lr-num-cycles lr-power
    selective-checkpointing mixed-precision master-weight-type
    fsdp-sharding-strategy num-euler-timesteps not-apply-cfg-solver distill-cfg scheduler-type
    linear-quadratic-threshold linear-range multi-phased-distill-schedule pred-decay-weight pred-decay-type
    hunyuan-teacher-disable-cfg VSA-cache-tile-buf VSA-tile-size
    generator-update-interval dfake-gen-update-ratio min-timestep-ratio max-timestep-ratio
    real-score-guidance-scale simulate-generator-forward warp-denoising-step num-frame-per-block
    independent-first-frame enable-gradient-masking gradient-mask-last-n-frames same-step-across-blocks
    last-step-only context-noise validate-cache-structure fake-score-learning-rate fake-score-lr-scheduler
    fake-score-betas
"""
_REQUIRED = {
    "data-path": "give the folder that preprocessing wrote",
    "output-dir": "give the folder where results are to go",
    "max-train-steps": "give the number of optimizer steps",
    "learning-rate": "give a number, such as 1e-5 for a full finetune or 1e-4 for LoRA",
}
_CHANGES_WHAT_IS_LEARNT = ("precondition-outputs", "transformer-quant", "moba-config-path")
_GATE = "to_gate_compress"  # which sparse attention trains whole, so that no adapter goes beside it
_FASTVIDEO_LAYERS = {"to_out": "to_out.0", "fc_in": "net.0.proj", "fc_out": "net.2"}


def asked_by(arguments: Sequence[str]) -> Asked:
    """Understand FastVideo's command, its flags spelled with dashes or underscores; a mistake leaves as in argparse."""
    parser = flag_parser()
    values, nothing = values_and_rest(parser, arguments, _WITHOUT_EFFECT)
    problem = _problem(values)
    if problem:
        parser.error(problem)
    return Asked(
        folder=RunFolder(Path(values["output-dir"])),
        kind="train",
        given=_settings(values),
        notices=[*_notices(values), *told_without_effect(nothing, "training")],
        command=["-m", _PROGRAM, *arguments],
        dry_run=values["dry-run"],
    )


def flag_parser() -> argparse.ArgumentParser:
    """Make the parser of the flags with their defaults; it knows them by dashes."""
    return parser_of(_PROGRAM, "FastVideo's training command, of one process or started by torchrun in many.", FLAGS)


def _problem(values: Mapping[str, Any]) -> str | None:
    """Say what is missing or cannot be done as asked; None when nothing is."""
    for flag, cure in _REQUIRED.items():
        if not values[flag]:
            return f"--{flag} is missing; {cure}"
    if not _model(values):
        return "--pretrained-model-name-or-path is missing; give a folder or a Hugging Face id"
    if values["lora-training"] and values["lora-rank"] is None:
        return "--lora-rank is missing; give the size of the adapters, such as 32"
    if values["log-validation"] and not values["validation-dataset-file"]:
        return "--validation-dataset-file is missing; give a JSON file, or leave out --log-validation"
    for flag in _CHANGES_WHAT_IS_LEARNT:
        if values[flag]:
            return f"--{flag} is not offered, and would train another objective or model; leave it out"
    return None


def _settings(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "model": _model(values),
        "workload": values["workload-type"],
        "parquet": values["data-path"],
        "latent_frames": values["num-latent-t"],
        "steps": values["max-train-steps"],
        "batch_size": values["train-batch-size"],
        "gradient_accumulation": values["gradient-accumulation-steps"],
        "seed": values["seed"],
        "processes": _processes(values),
        "ema_decay": values["ema-decay"] if values["use-ema"] else None,
        "tuning": _tuning(values),
        "attention": _attention(values),
        "flow": {
            "shift": values["flow-shift"],
            "timestep_sampling": values["weighting-scheme"],
            "logit_mean": values["logit-mean"],
            "logit_std": values["logit-std"],
            "mode_scale": values["mode-scale"],
            "caption_dropout": values["training-cfg-rate"],
        },
        "optimizer": _optimizer(values),
        "scale": _scale(values),
        "validation": _validation(values),
        "tracking": _tracking(values),
        "saving": {
            "every": values["training-state-checkpointing-steps"],
            "keep": values["checkpoints-total-limit"],
        },
    }


def _model(values: Mapping[str, Any]) -> str:
    return str(values["pretrained-model-name-or-path"] or values["model-path"])


def _processes(values: Mapping[str, Any]) -> int:
    return int(os.environ.get("WORLD_SIZE", values["num-gpus"]))


def _scale(values: Mapping[str, Any]) -> dict[str, Any]:
    of_all = {-1: _processes(values)}
    shards, sharing = values["hsdp-shard-dim"], values["sp-size"]
    return {
        "hsdp_shard_dim": of_all.get(shards, shards),
        "hsdp_replicate_dim": values["hsdp-replicate-dim"],
        "sp_size": of_all.get(sharing, sharing),
        # Left to the engine where FastVideo would keep all: the numbers are the same, and less memory is taken.
        "activation_checkpointing": _COMPUTED_AGAIN.get(values["enable-gradient-checkpointing-type"], "auto"),
    }


def _tuning(values: Mapping[str, Any]) -> dict[str, Any]:
    if not values["lora-training"]:
        return {"method": "full"}
    rank, alpha = values["lora-rank"], values["lora-alpha"]
    targets = [_layers_with(part) for part in values["lora-target-modules"] if part != _GATE]
    return {"method": "lora", "rank": rank, "alpha": rank if alpha is None else alpha, "targets": targets}


def _attention(values: Mapping[str, Any]) -> dict[str, Any]:
    if not values["VSA-sparsity"]:
        return {"kind": "dense"}
    rise, every = values["VSA-decay-rate"], values["VSA-decay-interval-steps"]
    return {"kind": "vsa", "sparsity": values["VSA-sparsity"], "rise": rise, "rise_every": every}


def _layers_with(part: str) -> str:
    """Name the layers whose name has a part in it, but for the embedders, which FastVideo leaves out."""
    return f"(?!.*embedder).*{re.escape(_FASTVIDEO_LAYERS.get(part, part))}.*"


def _optimizer(values: Mapping[str, Any]) -> dict[str, Any]:
    schedule = values["lr-scheduler"]
    beta1, beta2 = values["betas"]
    return {
        "learning_rate": values["learning-rate"],
        "schedule": schedule.partition("_")[0],
        "warmup_steps": 0 if schedule == "constant" else values["lr-warmup-steps"],
        "final_fraction": values["min-lr-ratio"] if schedule == "cosine_with_min_lr" else 0.0,
        "weight_decay": values["weight-decay"],
        "max_gradient_norm": values["max-grad-norm"],
        "beta1": beta1,
        "beta2": beta2,
    }


def _validation(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "file": values["validation-dataset-file"] if values["log-validation"] else None,
        "height": values["num-height"],
        "width": values["num-width"],
        "every": max(1, round(values["validation-steps"])),
        "sampling_steps": values["validation-sampling-steps"][0],
        "guidance_scale": values["validation-guidance-scale"],
        "seed": values["seed"],
    }


def _tracking(values: Mapping[str, Any]) -> dict[str, Any]:
    if not values["tracker-project-name"] or not _has_wandb():
        return {}
    return {"tracker": "wandb", "project": values["tracker-project-name"], "run_name": values["wandb-run-name"]}


def _has_wandb() -> bool:
    return find_spec("wandb") is not None


def _notices(values: Mapping[str, Any]) -> list[str]:
    found = []
    if values["resume-from-checkpoint"]:
        found.append(
            "--resume-from-checkpoint is not needed: a run goes on from the newest checkpoint in --output-dir."
        )
    if values["tracker-project-name"] and not _has_wandb():
        found.append("wandb is not installed, so that --tracker-project-name has no effect.")
    if len(values["validation-sampling-steps"]) > 1 and values["log-validation"]:
        found.append("Videos are sampled with the first of --validation-sampling-steps alone.")
    return found
