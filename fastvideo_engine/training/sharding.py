"""Spread a transformer over processes: one reads it, and each holds all of it or its shard (FSDP, arXiv:2304.11277)."""

from collections.abc import Mapping

import torch
import torch.distributed as dist
from diffusers import WanTransformer3DModel
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, OffloadPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from fastvideo_engine.distributed import Ranks
from fastvideo_engine.errors import SpecError
from fastvideo_engine.specs.scale import Scale


def check_scale(scale: Scale, processes: int, heads: int) -> None:
    """Raise `SpecError` unless so many processes and attention heads can be divided as asked."""
    shards, replicas, sharing = scale.hsdp_shard_dim, scale.hsdp_replicate_dim, scale.sp_size
    if processes % shards or (replicas is not None and shards * replicas != processes):
        asked = f"{shards} shards" if replicas is None else f"{replicas} replicas of {shards} shards"
        raise SpecError(
            f"{processes} processes cannot be {asked}; "
            f"start as many as replicas times shards, or change scale.hsdp_shard_dim and scale.hsdp_replicate_dim."
        )
    if processes % sharing:
        raise SpecError(
            f"{processes} processes cannot share clips {sharing} by {sharing}; set scale.sp_size to a divisor of them."
        )
    if heads % sharing:
        fitting = ", ".join(str(size) for size in range(1, processes + 1) if not heads % size and not processes % size)
        raise SpecError(
            f"The model's {heads} attention heads cannot be divided among {sharing} processes; "
            f"set scale.sp_size to one of {fitting}."
        )


def spread(
    transformer: WanTransformer3DModel, scale: Scale, blocks_compute_in: torch.dtype | None, ranks: Ranks
) -> None:
    """Put a transformer, whose weights only the first process has, where it computes.

    Sharded blocks are gathered in the dtype given, where one is, and their gradients are reduced in float32.
    """
    named = dict(transformer.named_parameters())
    dtypes = ranks.value_of_first({name: weight.dtype for name, weight in named.items()})
    trained = {name for name, weight in named.items() if weight.requires_grad}
    for name, weight in named.items():
        here = (
            torch.empty(weight.shape, dtype=dtypes[name], device="meta")
            if scale.is_sharded
            else _received(weight.detach(), dtypes[name], ranks)
        )
        _replace(transformer, name, nn.Parameter(here, requires_grad=name in trained))
    for name, buffer in list(transformer.named_buffers()):
        owner, _, own = name.rpartition(".")
        transformer.get_submodule(owner)._buffers[own] = buffer.to(ranks.device)
    if scale.is_sharded:
        _shard(transformer, scale, blocks_compute_in, ranks)
        _fill(transformer, named, ranks, torch.device("cpu") if scale.cpu_offload else ranks.device)


def shard_of(whole: Tensor, weight: Tensor) -> Tensor:
    """Lay a whole tensor, which every process has, out as a weight is: of a sharded one this process's shard."""
    if not isinstance(weight, DTensor):
        return whole
    return distribute_tensor(whole, weight.device_mesh, weight.placements, src_data_rank=None)


def _shard(transformer: nn.Module, scale: Scale, blocks_compute_in: torch.dtype | None, ranks: Ranks) -> None:
    mesh = _mesh(scale, ranks)
    on_gpu = ranks.device.type == "cuda"
    offload = CPUOffloadPolicy(pin_memory=on_gpu) if scale.cpu_offload else OffloadPolicy()
    # Inputs stay what they are: autocast, where there is one, decides operation by operation.
    policy = MixedPrecisionPolicy(blocks_compute_in, reduce_dtype=torch.float32, cast_forward_inputs=False)
    for block in transformer.blocks:  # type: ignore[union-attr]
        fully_shard(block, mesh=mesh, mp_policy=policy, offload_policy=offload)
    # The embeddings and the head around the blocks are small, and diffusers wants the former's float32.
    fully_shard(
        transformer, mesh=mesh, mp_policy=MixedPrecisionPolicy(cast_forward_inputs=False), offload_policy=offload
    )


def _mesh(scale: Scale, ranks: Ranks) -> DeviceMesh:
    ranks.meet()
    shape = {"replicas": ranks.world_size // scale.hsdp_shard_dim, "shards": scale.hsdp_shard_dim}
    mesh = init_device_mesh(ranks.device.type, tuple(shape.values()), mesh_dim_names=tuple(shape))
    return mesh if shape["replicas"] > 1 else mesh["shards"]


@torch.no_grad()
def _fill(transformer: nn.Module, loaded: Mapping[str, Tensor], ranks: Ranks, device: torch.device) -> None:
    """Give each process its shards of what the first one loaded, a tensor at a time."""
    buffers = {name: buffer.clone() for name, buffer in transformer.named_buffers()}
    transformer.to_empty(device=device)
    for name, buffer in buffers.items():
        owner, _, own = name.rpartition(".")
        transformer.get_submodule(owner)._buffers[own] = buffer
    for name, weight in transformer.named_parameters():
        weight.copy_(shard_of(_received(loaded[name].detach(), weight.dtype, ranks), weight))


def _received(loaded: Tensor, dtype: torch.dtype, ranks: Ranks) -> Tensor:
    """Return the first process's tensor on this one's device."""
    here = loaded.to(ranks.device) if ranks.is_first else torch.empty(loaded.shape, dtype=dtype, device=ranks.device)
    if ranks.world_size > 1:
        here = here.contiguous()
        dist.broadcast(here, src=0)
    return here


def _replace(transformer: nn.Module, name: str, parameter: nn.Parameter) -> None:
    owner, _, own = name.rpartition(".")
    transformer.get_submodule(owner)._parameters[own] = parameter
