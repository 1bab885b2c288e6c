"""Which videos to sample, from which weights."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from fastvideo_engine.specs.base import Spec, anchored_folder, anchored_path, check_images_go_with, kept_lines


class GenerateSpec(Spec):
    """Sample videos from a base model or a finetuned one, with or without an adapter: each prompt with each seed."""

    kind: Literal["generate"] = "generate"
    model: str = Field(
        title="Base model", description="A Hugging Face id or a folder in the diffusers format.", min_length=1
    )
    transformer: str | None = Field(
        None,
        title="Finetuned transformer",
        description="A folder that full training wrote, taken in place of the base model's; empty takes the base's.",
    )
    adapter: str | None = Field(None, title="Adapter", description="A LoRA file of any tool; empty samples without.")
    strengths: list[Annotated[float, Field(ge=0, le=4)]] = Field(
        [1.0],
        title="Adapter strengths",
        description="All videos are sampled at each: 0 is without the adapter, 1 the adapter.",
        min_length=1,
    )
    sparsity: float | None = Field(
        None,
        ge=0,
        le=0.99,
        title="Sparsity",
        description="For weights trained with sparse attention (VSA); empty takes what they were trained with.",
    )
    prompts: list[str] = Field(title="Prompts", description="One a line.", min_length=1)
    images: list[str] = Field(
        [],
        title="First frames",
        description="For image-to-video models: a picture (or video) for each prompt, one a line, or one for all.",
    )
    negative_prompt: str = Field("", title="Negative prompt", description="What the guidance leads away from.")
    height: int = Field(480, ge=16, le=4320, title="Height", description="Pixels.")
    width: int = Field(832, ge=16, le=7680, title="Width", description="Pixels.")
    frames: int = Field(77, ge=1, le=1001, title="Frames", description="Wan takes 4k+1.")
    fps: float = Field(16, gt=0, le=240, title="Frames per second", description="How fast the video plays.")
    sampling_steps: int = Field(30, ge=1, le=1000, title="Sampling steps", description="Denoising steps of a video.")
    guidance_scale: float = Field(5.0, ge=1, le=30, title="Guidance scale", description="1 means without guidance.")
    flow_shift: float | None = Field(
        None, gt=0, le=100, title="Flow shift", description="Of the sampler; empty takes the model's."
    )
    seeds: list[Annotated[int, Field(ge=0, lt=2**63)]] = Field(
        [42],
        title="Seeds",
        description="Of the noise that videos start from; each prompt has a video of each.",
        min_length=1,
    )
    processes: Literal[1] = 1

    @model_validator(mode="before")
    @classmethod
    def one_seed_or_strength(cls, settings: Any) -> Any:
        # What specs said while there was one of each; run folders keep theirs.
        if not isinstance(settings, dict):
            return settings
        renamed = {"seed": "seeds", "strength": "strengths"}
        kept = {name: value for name, value in settings.items() if name not in renamed or renamed[name] in settings}
        return kept | {renamed[name]: [value] for name, value in settings.items() if name in renamed.keys() - kept}

    @field_validator("prompts")
    @classmethod
    def without_blank_lines(cls, prompts: list[str]) -> list[str]:
        kept = kept_lines(prompts)
        if not kept:
            raise ValueError("write at least one prompt")
        return kept

    @field_validator("images")
    @classmethod
    def without_blank_images(cls, images: list[str]) -> list[str]:
        return kept_lines(images)

    @field_validator("seeds", "strengths")
    @classmethod
    def each_once(cls, values: list[float]) -> list[float]:
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            raise ValueError(f"{twice[0]} is there more than once; name each once")
        return values

    @model_validator(mode="after")
    def strengths_go_with_an_adapter(self) -> Self:
        if self.adapter is None and len(self.strengths) > 1:
            raise ValueError("without an adapter all strengths give the same videos; name an adapter, or one strength")
        return self

    @model_validator(mode="after")
    def images_go_with_prompts(self) -> Self:
        check_images_go_with(self.prompts, self.images)
        return self

    def anchored(self, base: Path) -> Self:
        """Read the relative folders of this spec from `base` on."""
        changes = {
            "model": anchored_folder(self.model, base),
            "transformer": self.transformer and anchored_path(self.transformer, base),
            "adapter": self.adapter and anchored_path(self.adapter, base),
            "images": [anchored_path(image, base) for image in self.images],
        }
        return self.model_copy(update=changes)
