"""What the engine and the pages must know of a model family before any weights are read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self


@dataclass(frozen=True)
class LayerNames:
    """What the tools call one layer, or one table of a model; `blocks.N.` stands for each of its blocks."""

    diffusers: str
    original: str
    """Its name in the authors' own code, which ComfyUI took over."""
    fastvideo: str
    read_by_all: bool = False
    """FastVideo, diffusers and ComfyUI all find an adapter of it under the authors' name."""


EXPERTS = {"transformer": "high_noise", "transformer_2": "low_noise"}
"""Wan 2.2 A14B's two transformers, and what files of adapters call them."""


@dataclass(frozen=True)
class Family:
    """Facts of a model family; what a single model decides is read from its own configs (`as_configured`)."""

    title: str
    pipeline_class: str
    frame_stride: int
    """Frames a latent frame stands for after the first: clips have stride * k + 1 frames."""
    size_multiple: int
    """Height and width are divisible by this: VAE compression times patch size."""
    flow_shift: float
    text_length: int
    """Tokens that the transformer's cross-attention sees; shorter text is padded with zeros."""
    adapter_targets: tuple[str, ...]
    """Ends of the names of the linear layers that LoRA adapts by default."""
    workloads: tuple[str, ...] = ("t2v",)
    """What the transformer can be trained for: text to video, image to video."""
    reads_first_frame_latent: bool = False
    """Its transformer takes the latent of the first frame, followed by grey, as further channels."""
    has_image_encoder: bool = False
    """Its transformer also attends to what CLIP sees in the first frame."""

    expert_boundary: float | None = None
    """It has two transformers: the first takes timesteps from this share of the whole on, the second those below."""
    keeps_first_frame: bool = False
    """It takes the clean first latent frame in place of the noisy one, each token having a timestep of its own."""

    def as_configured(self, index: Mapping[str, Any], vae: Mapping[str, Any], transformer: Mapping[str, Any]) -> Self:
        """Put in what one model's own configs say; what they leave out is as in diffusers, so 8 x 8 x 4 and 2 x 2."""
        pixels = (vae.get("scale_factor_spatial") or 8) * (transformer.get("patch_size") or [1, 2, 2])[-1]
        # Wan 2.2 TI2V-5B: the clip's own latent has all it needs, with and without an image.
        keeps_first_frame = bool(index.get("expand_timesteps"))
        return replace(
            self,
            frame_stride=vae.get("scale_factor_temporal") or 4,
            size_multiple=pixels,
            workloads=("t2v", "i2v") if keeps_first_frame else self.workloads,
            reads_first_frame_latent=self.reads_first_frame_latent and not keeps_first_frame,
            keeps_first_frame=keeps_first_frame,
            expert_boundary=index.get("boundary_ratio") if _is_there(index, "transformer_2") else None,
            has_image_encoder=self.has_image_encoder and _is_there(index, "image_encoder"),
        )

    def problems(self, height: int, width: int, frames: int) -> dict[str, str]:
        """Say for each of the three fields what does not fit this family, and the nearest value that does."""
        found = {}
        for field, pixels in (("height", height), ("width", width)):
            if pixels % self.size_multiple:
                nearest = max(1, round(pixels / self.size_multiple)) * self.size_multiple
                found[field] = (
                    f"{self.title} needs a {field} divisible by {self.size_multiple}; "
                    f"{pixels} is not, the nearest is {nearest}."
                )
        if (frames - 1) % self.frame_stride:
            below = (frames - 1) // self.frame_stride * self.frame_stride + 1
            found["frames"] = (
                f"{self.title} takes {self.frame_stride}k+1 frames; "
                f"{frames} is not, the nearest are {below} and {below + self.frame_stride}."
            )
        return found

    def workload_problem(self, workload: str) -> str | None:
        """Say why a model of this family cannot be trained for a workload; None when it can."""
        if workload in self.workloads:
            return None
        return (
            f"{self.title} does not take an image, so there is nothing to preprocess for {workload}; "
            f"choose the workload {' or '.join(self.workloads)}, or an image-to-video model."
        )

    @property
    def transformers(self) -> tuple[str, ...]:
        """Name the parts of a model that are transformers, those for high noise first."""
        return ("transformer",) if self.expert_boundary is None else tuple(EXPERTS)

    def trained_transformers(self, experts: str) -> tuple[str, ...]:
        """Name the transformers that a spec means: `both`, or of two the one for `high` or `low` noise."""
        return tuple(part for part in self.transformers if experts == "both" or EXPERTS[part].startswith(experts))

    def trained_for(self, asked: str) -> str:
        """Name the workload that a spec means: `auto` is what a model is made for, of both text to video."""
        made_for = "i2v" if self.reads_first_frame_latent else "t2v"
        return made_for if asked == "auto" else asked

    def training_problem(self, workload: str, experts: str) -> str | None:
        """Say why a model of this family cannot be trained for a workload, or these experts of it; None when it can."""
        if experts != "both" and self.expert_boundary is None:
            return f"{self.title} has no experts for high and low noise; leave the experts at both."
        trainable = ("i2v",) if self.reads_first_frame_latent else self.workloads
        if workload in trainable:
            return None
        return (
            f"{self.title} is not made for {workload}; choose the workload {' or '.join(trainable)}, or another model."
        )

    def images_problem(self, images: Sequence[str]) -> str | None:
        """Say why a model of this family cannot sample from these images; None when it can."""
        if self.reads_first_frame_latent and not images:
            return f"{self.title} makes videos from images; name an image for each prompt, or one for all."
        if images and "i2v" not in self.workloads:
            return f"{self.title} takes no images; leave them out, or choose an image-to-video model."
        return None

    def latent_frames(self, frames: int) -> int:
        return (frames - 1) // self.frame_stride + 1


def _is_there(index: Mapping[str, Any], part: str) -> bool:
    return (index.get(part) or [None])[0] is not None
