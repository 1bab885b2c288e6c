"""How a training spreads over processes, and what it keeps in their memory."""

from typing import Literal

from pydantic import Field

from fastvideo_engine.specs.base import Part


class Scale(Part):
    """How a run spreads over GPUs, and what it keeps of each step in their memory."""

    hsdp_shard_dim: int = Field(
        1,
        ge=1,
        le=4096,
        title="Shards",
        description="Weights, gradients and moments are divided among so many processes (FSDP); 1 divides nothing.",
    )
    hsdp_replicate_dim: int | None = Field(
        None,
        ge=1,
        le=4096,
        title="Replicas",
        description="Of such groups of processes; empty takes as many as there are.",
    )
    sp_size: int = Field(
        1,
        ge=1,
        le=128,
        title="Processes a clip",
        description="So many share the tokens of each clip (Ulysses); it must divide the model's attention heads.",
    )
    activation_checkpointing: Literal["auto", "none", "selective", "full"] = Field(
        "auto",
        title="Activation checkpointing",
        description="What is computed again, not kept: all (full) or all but attention (selective, GPUs' auto).",
    )
    cpu_offload: bool = Field(
        False,
        title="CPU offload",
        description="Keep weights and moments in main memory: slower, for what does not fit.",
    )
    compile: bool = Field(
        False, title="Compile", description="Compile the model's blocks: minutes at first, then faster steps."
    )
    sdpa: Literal["auto", "flash", "cudnn", "efficient", "math"] = Field(
        "auto", title="Attention kernel", description="PyTorch's kernel for dense attention; auto lets it choose."
    )

    @property
    def is_sharded(self) -> bool:
        """Weights are laid out by FSDP, which also is what moves them between main memory and a GPU."""
        return self.hsdp_shard_dim > 1 or self.cpu_offload
