"""What to train, on which Parquet, how long, and how to judge it."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from fastvideo_engine.specs.base import Part, Spec, anchored_folder, anchored_path, check_images_go_with, kept_lines


class Lora(Part):
    """Low-rank adapters on the attention projections of a frozen base (Hu et al., 2021, arXiv:2106.09685)."""

    method: Literal["lora"] = Field("lora", title="Method", description="LoRA trains small adapters beside the model.")
    rank: int = Field(16, ge=1, le=512, title="Rank", description="Size of the adapters; more can learn more.")
    alpha: float = Field(16, gt=0, le=1024, title="Alpha", description="The adapters' weight is alpha / rank.")


class Optimizer(Part):
    """AdamW with a linear warm-up (Loshchilov and Hutter, 2017, arXiv:1711.05101)."""

    learning_rate: float = Field(1e-4, gt=0, le=1, title="Learning rate", description="LoRA likes 1e-4 to 1e-3.")
    warmup_steps: int = Field(10, ge=0, title="Warm-up steps", description="The rate rises to its value over these.")
    weight_decay: float = Field(1e-4, ge=0, le=1, title="Weight decay", description="Pull of the weights to zero.")
    max_gradient_norm: float = Field(1.0, gt=0, title="Largest gradient norm", description="Longer ones are scaled.")


class Validation(Part):
    """Videos sampled while training, always from the same prompts and seed, so that steps can be compared."""

    prompts: list[str] = Field(
        [], title="Validation prompts", description="One a line. Each is sampled before the first step and again later."
    )
    images: list[str] = Field(
        [],
        title="First frames",
        description="For image-to-video models: a picture (or video) for each prompt, one a line, or one for all.",
    )
    every: int = Field(100, ge=1, title="Every … steps", description="How often to sample the prompts.")
    sampling_steps: int = Field(30, ge=1, le=1000, title="Sampling steps", description="Denoising steps of a video.")
    guidance_scale: float = Field(
        5.0, ge=1, le=30, title="Guidance scale", description="Weight of the prompt; 1 means without guidance."
    )
    negative_prompt: str = Field("", title="Negative prompt", description="What the guidance leads away from.")
    seed: int = Field(42, ge=0, lt=2**63, title="Seed", description="Of the noise each video starts from.")

    @field_validator("prompts", "images")
    @classmethod
    def without_blank_lines(cls, lines: list[str]) -> list[str]:
        return kept_lines(lines)

    @model_validator(mode="after")
    def images_go_with_prompts(self) -> Self:
        check_images_go_with(self.prompts, self.images)
        return self

    def anchored(self, base: Path) -> Self:
        """Read the relative paths of this part from `base` on."""
        return self.model_copy(update={"images": [anchored_path(image, base) for image in self.images]})

    def is_due(self, step: int, last_step: int) -> bool:
        """Step 0 shows the base model and the last step the result, whatever the interval."""
        return bool(self.prompts) and (step % self.every == 0 or step == last_step)


class Saving(Part):
    """When checkpoints are written, and how many of them stay."""

    every: int = Field(100, ge=1, title="Every … steps", description="How often to save a checkpoint.")
    keep: int = Field(5, ge=1, title="Keep", description="Only the newest so many checkpoints stay.")

    def is_due(self, step: int, last_step: int) -> bool:
        return step % self.every == 0 or step == last_step


class TrainSpec(Spec):
    """Finetune a base model on preprocessed Parquet."""

    kind: Literal["train"] = "train"
    model: str = Field(
        title="Base model", description="A Hugging Face id or a folder in the diffusers format.", min_length=1
    )
    parquet: str = Field(
        title="Training data", description="A folder of Parquet made by preprocessing (or by FastVideo).", min_length=1
    )
    steps: int = Field(500, ge=1, le=10_000_000, title="Steps", description="Optimizer steps.")
    batch_size: int = Field(1, ge=1, le=1024, title="Batch size", description="Clips a step and process.")
    seed: int = Field(42, ge=0, lt=2**63, title="Seed", description="Of the order, the noise and the adapters.")
    flow_shift: float | None = Field(
        None, gt=0, le=100, title="Flow shift", description="Above 1 favours noisy timesteps; empty takes the model's."
    )
    processes: int = Field(1, ge=1, le=64, title="Processes", description="One a GPU; each takes its own batch.")
    tuning: Lora = Field(Lora(), title="LoRA")
    optimizer: Optimizer = Field(Optimizer(), title="Optimizer")
    validation: Validation = Field(Validation(), title="Validation")
    saving: Saving = Field(Saving(), title="Checkpoints")

    def anchored(self, base: Path) -> Self:
        """Read the relative folders of this spec from `base` on."""
        changes = {
            "parquet": anchored_path(self.parquet, base),
            "model": anchored_folder(self.model, base),
            "validation": self.validation.anchored(base),
        }
        return self.model_copy(update=changes)
