"""What a training would take, told before any weights are loaded; nothing is written."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch
from diffusers import WanTransformer3DModel
from torch import nn

from fastvideo_engine.attention.fastest import fastest_way
from fastvideo_engine.attention.wan import add_sparse_attention
from fastvideo_engine.components import part_config, unloaded_transformer, weights_dtype
from fastvideo_engine.families import Family
from fastvideo_engine.run_folder import RunFolder
from fastvideo_engine.sampling.images import check_images, read_first_frame
from fastvideo_engine.specs.train import Full, Lora, TrainSpec, Vsa
from fastvideo_engine.training.costs import Again, Workload, activation_bytes, executed_operations
from fastvideo_engine.training.fit import Material, checked_material
from fastvideo_engine.training.lora import add_adapter, read_starts
from fastvideo_engine.training.trained import trained_weights
from fastvideo_engine.training.validation import edited, wanted_shots

_CLIP_TOKENS = 257  # of a picture, which the cross-attention looks at besides
_MASTER = 4  # bytes of what is trained, of its gradient, of each of AdamW's two means and of an average
_GATHERED = 2  # blocks at once: the one that computes, and the next
_PROBE = {"cuda": 8192, "cpu": 1024}
"""Sides of the square matrices whose product tells the speed of a device."""


@dataclass(frozen=True)
class Memory:
    """Bytes in each process."""

    weights: float
    gradients: float
    optimizer: float
    average: float
    gathered: float
    """Of the blocks at work, where weights are sharded or in main memory."""
    activations: float
    offloads: bool
    """What is held from step to step is in main memory, and the rest on a GPU."""

    @property
    def held(self) -> float:
        return self.weights + self.gradients + self.optimizer + self.average

    @property
    def total(self) -> float:
        """What the device must have room for."""
        return self.gathered + self.activations + (0 if self.offloads else self.held)


@dataclass(frozen=True)
class Plan:
    """A run in numbers."""

    parameters: int
    trained: int
    clips: Mapping[tuple[int, ...], int]
    """How many come in an epoch, by latent shape CTHW."""
    tokens: Mapping[tuple[int, ...], int]
    """Of one clip, by latent shape."""
    clips_a_step: int
    epochs: float
    memory: Memory
    operations_a_step: float
    """Of one process, on average."""
    checkpoint: float
    """Bytes of one."""


def run(spec: TrainSpec, folder: RunFolder) -> None:
    """Check all that can be checked without weights, and print the plan; raise an error where the run would."""
    material = checked_material(spec)
    _check_validation(spec, folder, material)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    made = plan_of(spec, material, device)
    _check_start(spec, material)
    print("\n".join(lines(made, spec, folder, device)))


def plan_of(spec: TrainSpec, material: Material, device: torch.device) -> Plan:
    """Count and estimate what a spec takes on a kind of device."""
    family, clips = material.family, material.clips
    trained = nn.ModuleDict(
        {part: _outline(material, part, spec) for part in family.trained_transformers(spec.experts)}
    )
    moved = sum(weight.numel() for weight in trained_weights(trained).values())
    parameters = sum(weight.numel() for weight in trained.parameters())
    config = part_config(material.model, next(iter(trained)))
    again, sharing = _again(spec, device), spec.scale.sp_size
    rank = _rank(trained, config)
    counts = {shape: len(numbers) for shape, numbers in clips.by_shape.items()}
    work = {shape: _work(shape, config, family, spec, rank) for shape in counts}
    clips_a_step = spec.batch_size * spec.gradient_accumulation * (spec.processes // sharing)
    each = sum(executed_operations(config, work[shape], again) * count for shape, count in counts.items()) / sharing
    bytes_each = _computed_in(spec, device).itemsize
    most = max(activation_bytes(config, one, again, bytes_each) for one in work.values()) * spec.batch_size / sharing
    return Plan(
        parameters=parameters,
        trained=moved,
        clips=counts,
        tokens={shape: one.tokens for shape, one in work.items()},
        clips_a_step=clips_a_step,
        epochs=spec.steps * clips_a_step / sum(counts.values()),
        memory=_memory(parameters, moved, config["num_layers"] * len(trained), spec, device, most),
        operations_a_step=each / sum(counts.values()) * spec.batch_size * spec.gradient_accumulation,
        checkpoint=_checkpoint_bytes(parameters, moved, spec),
    )


def lines(plan: Plan, spec: TrainSpec, folder: RunFolder, device: torch.device) -> list[str]:
    """Say a plan in lines; what is estimated is called so."""
    memory, newest = plan.memory, folder.newest_checkpoint()
    speed = matmul_speed(device, _computed_in(spec, device))
    left = spec.steps - (newest.step if newest else 0)
    seconds = plan.operations_a_step / speed
    sizes = ", ".join(
        f"{count} of {'x'.join(map(str, shape))} ({plan.tokens[shape]:,} tokens)" for shape, count in plan.clips.items()
    )
    batches = f"{spec.processes} x {spec.batch_size} x {spec.gradient_accumulation}"
    told = {
        "Model": f"{plan.parameters:,} parameters, of which {plan.trained:,} are trained",
        "Clips": f"{sizes} in an epoch",
        "Steps": f"{spec.steps:,}, {plan.epochs:.3g} epochs"
        + (f"; the run goes on from step {newest.step}" if newest else ""),
        "A step": f"clips: {plan.clips_a_step} (processes x batch x accumulation: {batches}), "
        f"up to {max(plan.tokens.values()) * plan.clips_a_step:,} tokens",
        "Memory": f"about {_size(memory.total)} in each process (estimated): {_memory_in_words(memory)}",
        "Time": f"at least {_duration(seconds)} a step and {_duration(seconds * left)} in all, validation aside "
        f"(estimated from {plan.operations_a_step:.3g} operations and matrix products at {speed:.3g} a second here)",
        "Checkpoint": f"{_size(plan.checkpoint)}, of which {spec.saving.keep} are kept",
    }
    return [*(f"{name:<11} {text}" for name, text in told.items()), "Nothing was loaded or written."]


def _memory_in_words(memory: Memory) -> str:
    held = (
        f"weights {_size(memory.weights)}, gradients {_size(memory.gradients)}, "
        f"optimizer {_size(memory.optimizer)}, average {_size(memory.average)}"
    )
    at_work = f"activations {_size(memory.activations)}"
    if memory.gathered:
        at_work += f", gathered weights {_size(memory.gathered)}"
    return f"{at_work}; and {_size(memory.held)} of main memory: {held}" if memory.offloads else f"{held}, {at_work}"


def matmul_speed(device: torch.device, dtype: torch.dtype) -> float:
    """Measure how many operations a second a device does in matrix products, at best of a few."""
    side = _PROBE[device.type]
    matrix = torch.randn(side, side, device=device, dtype=dtype)
    best = math.inf
    for _ in range(4):  # the first one warms up
        _wait_for(device)
        began = perf_counter()
        matrix @ matrix
        _wait_for(device)
        best = min(best, perf_counter() - began)
    return 2 * side**3 / best


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _outline(material: Material, part: str, spec: TrainSpec) -> WanTransformer3DModel:
    """Build a transformer as it would be trained, without weights."""
    transformer = unloaded_transformer(material.model, part)
    if isinstance(spec.tuning, Full):
        transformer.requires_grad_(True)
    else:
        add_adapter(transformer, material.family, spec.tuning, spec.seed)
    if isinstance(spec.attention, Vsa):
        head_width = transformer.config.attention_head_dim
        add_sparse_attention(transformer, fastest_way(torch.device("cpu"), torch.float32, head_width))
    return transformer


def _work(
    shape: tuple[int, ...], config: Mapping[str, Any], family: Family, spec: TrainSpec, rank: float | None
) -> Workload:
    frames, rows, columns = (side // patch for side, patch in zip(shape[1:], config["patch_size"], strict=True))
    text = family.text_length + (_CLIP_TOKENS if family.has_image_encoder else 0)
    sparsity = spec.attention.sparsity if isinstance(spec.attention, Vsa) else None
    return Workload((frames, rows, columns), text, rank, sparsity)


def _rank(trained: nn.ModuleDict, config: Mapping[str, Any]) -> float | None:
    """Return what rank the adapters' weights would have if they were on the attention's layers; None without any."""
    adapters = sum(weight.numel() for name, weight in trained.named_parameters() if ".lora_" in name)
    width = config["num_attention_heads"] * config["attention_head_dim"]
    # Eight layers a block, of two matrices each.
    return adapters / (16 * width * config["num_layers"] * len(trained)) if adapters else None


def _again(spec: TrainSpec, device: torch.device) -> Again:
    kept = spec.scale.activation_checkpointing
    if kept == "auto":
        return "selective" if device.type == "cuda" else "none"
    return kept


def _computed_in(spec: TrainSpec, device: torch.device) -> torch.dtype:
    named = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    return named.get(spec.precision) or weights_dtype(device)


def _memory(
    parameters: int, moved: int, blocks: int, spec: TrainSpec, device: torch.device, activations: float
) -> Memory:
    scale, bytes_each = spec.scale, _computed_in(spec, device).itemsize
    frozen, learnt = (parameters - moved) / scale.hsdp_shard_dim, moved / scale.hsdp_shard_dim
    # Autocast keeps a narrow copy of each weight that it computes with; sharded ones are gathered narrow.
    copied = isinstance(spec.tuning, Full) and bytes_each < _MASTER and not scale.is_sharded
    return Memory(
        weights=frozen * bytes_each + learnt * (_MASTER + (bytes_each if copied else 0)),
        gradients=learnt * _MASTER,
        optimizer=learnt * _MASTER * 2,
        average=learnt * _MASTER if spec.ema_decay is not None else 0,
        gathered=_GATHERED * parameters / blocks * bytes_each if scale.is_sharded else 0,
        activations=activations,
        offloads=scale.cpu_offload and device.type == "cuda",
    )


def _checkpoint_bytes(parameters: int, moved: int, spec: TrainSpec) -> float:
    """Count what is exported and what resuming needs beside it, which has the weights again unless they are whole."""
    averaged = spec.ema_decay is not None
    exported = parameters if isinstance(spec.tuning, Full) else moved
    copies = averaged if isinstance(spec.tuning, Full) else 1 + averaged
    return _MASTER * (exported + moved * (2 + copies))


def _check_validation(spec: TrainSpec, folder: RunFolder, material: Material) -> None:
    validation = edited(spec.validation, folder)
    looks = [shot.look for shot in wanted_shots(material.clips, spec, validation, material.model, material.family)]
    if looks:
        check_images(material.family, [look.image for look in looks if look.image])
    for look in looks:
        if look.image:
            read_first_frame(look.image, (look.height, look.width))


def _check_start(spec: TrainSpec, material: Material) -> None:
    parts = material.family.trained_transformers(spec.experts)
    # The shapes to compare with are in the weights' own files, which are fetched with the model.
    if isinstance(spec.tuning, Lora) and all(any((material.model / part).glob("*.safetensors")) for part in parts):
        read_starts(spec.tuning, material.model, material.family, parts)


def _size(count: float) -> str:
    return f"{count / 1e9:.3g} GB" if count >= 1e8 else f"{count / 1e6:.3g} MB"


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.2g} s"
