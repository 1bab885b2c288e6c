"""What to train, on which Parquet, how long, and how to judge it."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from fastvideo_engine.specs.base import Part, Spec, anchored_folder, anchored_path, check_images_go_with, kept_lines
from fastvideo_engine.specs.parquet import ParquetFolder, folders_from
from fastvideo_engine.specs.scale import Scale


class Full(Part, title="Full"):
    """Every weight of the transformer, in float32."""

    method: Literal["full"] = Field("full", title="Method", description="Trains every weight of the transformer.")


class Lora(Part, title="LoRA"):
    """Low-rank adapters beside linear layers of a frozen base (Hu et al., 2021, arXiv:2106.09685)."""

    method: Literal["lora"] = Field("lora", title="Method", description="Trains small adapters beside the model.")
    rank: int = Field(16, ge=1, le=512, title="Rank", description="Size of the adapters; more can learn more.")
    alpha: float = Field(16, gt=0, le=1024, title="Alpha", description="The adapters' weight is alpha / rank.")
    targets: list[str] = Field(
        [],
        title="Layers",
        description="Ends of their names, or regular expressions of whole ones, one a line; empty takes the attention.",
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, title="Dropout", description="Share of the adapters' inputs left out of each training step."
    )
    rank_stabilized: bool = Field(
        False, title="Rank-stabilized", description="Weigh adapters by alpha / √rank (rsLoRA), for high ranks."
    )
    weight_decomposed: bool = Field(
        False,
        title="Weight-decomposed",
        description="Train the length of each output's weights too (DoRA); only diffusers reads such adapters.",
    )
    init_from: str | None = Field(
        None, title="Start from", description="A LoRA file of any tool to train on; empty starts from no change."
    )

    @field_validator("targets")
    @classmethod
    def regular_expressions(cls, targets: list[str]) -> list[str]:
        kept = kept_lines(targets)
        for target in kept:
            try:
                re.compile(target)
            except re.error as error:
                raise ValueError(f"`{target}` is not a regular expression ({error})") from None
        return kept

    def anchored(self, base: Path) -> Self:
        """Read the relative path of this part from `base` on."""
        return self.model_copy(update={"init_from": self.init_from and anchored_path(self.init_from, base)})


Tuning = Annotated[Full | Lora, Field(discriminator="method")]


class Dense(Part, title="Dense"):
    """Attention as the model was trained with it."""

    kind: Literal["dense"] = Field("dense", title="Attention", description="Every token attends to every other.")

    def sparsity_at(self, _step: int) -> float:
        """Nothing is passed over at any step."""
        return 0.0


class Vsa(Part, title="Sparse (VSA)"):
    """Video sparse attention (Zhang et al., 2025, arXiv:2505.13389), reached from dense attention by small rises."""

    kind: Literal["vsa"] = Field(
        "vsa", title="Attention", description="Tiles of the video attend to those that matter to them: faster."
    )
    sparsity: float = Field(
        0.8, ge=0, le=0.99, title="Sparsity", description="The share of tiles that each tile passes over in the end."
    )
    rise: float = Field(
        0.01, gt=0, le=1, title="Rise", description="How much sparser it gets at a time; 1 begins with all of it."
    )
    rise_every: int = Field(1, ge=1, title="Rise every … steps", description="How often it gets sparser.")

    def sparsity_at(self, step: int) -> float:
        """Rise from dense attention at step 0 to the sparsity asked for, exactly."""
        return min(self.sparsity, step // self.rise_every * self.rise)


Attention = Annotated[Dense | Vsa, Field(discriminator="kind")]


class Flow(Part):
    """Which noise levels are trained, and how often without a caption (Esser et al., 2024, arXiv:2403.03206)."""

    shift: float | None = Field(
        None, gt=0, le=100, title="Flow shift", description="Above 1 favours noisy timesteps; empty takes the model's."
    )
    timestep_sampling: Literal["uniform", "logit_normal", "mode"] = Field(
        "uniform",
        title="Timestep sampling",
        description="uniform takes all alike, logit_normal the middle most, mode the middle or the ends.",
    )
    # The sign is that of diffusers and FastVideo, whose tables begin with the noisiest timestep.
    logit_mean: float = Field(
        0.0, ge=-5, le=5, title="Mean", description="Of logit_normal; below 0 favours noisy timesteps."
    )
    logit_std: float = Field(1.0, gt=0, le=5, title="Deviation", description="Of logit_normal; less is narrower.")
    # Beyond these bounds the formula would not rise everywhere.
    mode_scale: float = Field(
        1.29, ge=-1, le=1.75, title="Mode scale", description="Of mode; above 0 favours the middle, below 0 the ends."
    )
    caption_dropout: float = Field(
        0.0,
        ge=0,
        le=1,
        title="Caption dropout",
        description="Share of samples trained with the empty caption, drawn anew at each visit; guidance needs some.",
    )


class Optimizer(Part):
    """AdamW (Loshchilov and Hutter, 2017, arXiv:1711.05101) and how its learning rate changes."""

    learning_rate: float = Field(
        1e-4, gt=0, le=1, title="Learning rate", description="LoRA likes 1e-4 to 1e-3, full finetuning 1e-6 to 1e-4."
    )
    warmup_steps: int = Field(10, ge=0, title="Warm-up steps", description="The rate rises to its value over these.")
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "constant", title="Schedule", description="How the rate falls after the warm-up until the last step."
    )
    final_fraction: float = Field(
        0.0, ge=0, le=1, title="Final fraction", description="What part of the rate a falling schedule ends at."
    )
    weight_decay: float = Field(1e-4, ge=0, le=1, title="Weight decay", description="Pull of the weights to zero.")
    max_gradient_norm: float = Field(1.0, gt=0, title="Largest gradient norm", description="Longer ones are scaled.")
    max_skipped_steps: int = Field(
        10, ge=1, title="Skipped steps at most", description="So many in a row without a finite loss end the run."
    )
    beta1: float = Field(0.9, ge=0, lt=1, title="Beta 1", description="How long the mean of gradients remembers.")
    beta2: float = Field(0.999, ge=0, lt=1, title="Beta 2", description="How long that of their squares remembers.")
    epsilon: float = Field(1e-8, gt=0, le=1, title="Epsilon", description="Keeps tiny gradients from large steps.")
    moments: Literal["float32", "8bit"] = Field(
        "float32", title="Moments", description="8bit holds both means in a quarter of the memory; it takes torchao."
    )


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
    file: str | None = Field(
        None,
        title="Validation file",
        description="FastVideo's validation.json in place of prompts; its rows may have their own sizes and steps.",
    )
    height: int | None = Field(
        None, ge=16, le=4320, title="Height", description="Of the videos; empty takes that of most clips."
    )
    width: int | None = Field(
        None, ge=16, le=7680, title="Width", description="Of the videos; empty takes that of most clips."
    )
    every: int = Field(100, ge=1, title="Every … steps", description="How often to sample the prompts, and so on.")
    held_out_clips: int = Field(
        16,
        ge=0,
        le=4096,
        title="Held-out clips",
        description="So many that training never sees tell the validation loss.",
    )
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
        if self.file and (self.prompts or self.images):
            raise ValueError("the validation file names the prompts and images; leave those fields empty, or the file")
        check_images_go_with(self.prompts, self.images)
        return self

    @property
    def is_asked_for(self) -> bool:
        return bool(self.prompts or self.file)

    def anchored(self, base: Path) -> Self:
        """Read the relative paths of this part from `base` on."""
        images = [anchored_path(image, base) for image in self.images]
        return self.model_copy(update={"images": images, "file": self.file and anchored_path(self.file, base)})

    def is_due(self, step: int, last_step: int) -> bool:
        """Step 0 shows the base model and the last step the result, whatever the interval."""
        return step % self.every == 0 or step == last_step


class Saving(Part):
    """When checkpoints are written, and how many of them stay."""

    every: int = Field(100, ge=1, title="Every … steps", description="How often to save a checkpoint.")
    keep: int = Field(5, ge=1, title="Keep", description="Only the newest so many checkpoints stay.")

    def is_due(self, step: int, last_step: int) -> bool:
        return step % self.every == 0 or step == last_step


class Tracking(Part):
    """Where the metrics go beside the run folder."""

    tracker: Literal["none", "trackio", "wandb"] = Field(
        "none", title="Tracker", description="A package that must be installed; none keeps the metrics here alone."
    )
    project: str = Field("fastvideo-studio", min_length=1, title="Project", description="As the tracker calls it.")
    run_name: str = Field("", title="Run name", description="As the tracker calls it; empty takes the run folder's.")


class TrainSpec(Spec):
    """Finetune a base model on preprocessed Parquet."""

    kind: Literal["train"] = "train"
    model: str = Field(
        title="Base model", description="A Hugging Face id or a folder in the diffusers format.", min_length=1
    )
    parquet: tuple[ParquetFolder, ...] = Field(
        title="Training data",
        description="A folder of Parquet made by preprocessing (or by FastVideo); or several as in `a:3,b:1`, where "
        "each clip of a comes three times as often.",
        min_length=1,
    )
    latent_frames: int | None = Field(
        None, ge=1, title="Latent frames", description="Train on the first so many of each clip; empty takes all."
    )
    workload: Literal["auto", "t2v", "i2v"] = Field(
        "auto",
        title="Workload",
        description="Text or image to video, for models that do both; auto takes what the model is made for, or t2v.",
    )
    experts: Literal["both", "high", "low"] = Field(
        "both",
        title="Experts",
        description="For models with a transformer for high noise and one for low noise, such as Wan 2.2 A14B.",
    )
    steps: int = Field(500, ge=1, le=10_000_000, title="Steps", description="Optimizer steps.")
    batch_size: int = Field(1, ge=1, le=1024, title="Batch size", description="Clips at once in each process.")
    gradient_accumulation: int = Field(
        1, ge=1, le=1024, title="Gradient accumulation", description="Batches a step; more learn alike in less memory."
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        title="Precision",
        description="What the model computes in; auto is bfloat16 on a GPU. What is trained stays in float32.",
    )
    seed: int = Field(42, ge=0, lt=2**63, title="Seed", description="Of the order, the noise and the adapters.")
    ema_decay: float | None = Field(
        None,
        gt=0,
        lt=1,
        title="EMA decay",
        description="0.999, say, samples and exports averaged weights.",
    )
    processes: int = Field(1, ge=1, le=64, title="Processes", description="One a GPU; each takes its own batch.")
    tuning: Tuning = Field(Lora(), title="Method")
    attention: Attention = Field(Dense(), title="Attention")
    flow: Flow = Field(Flow(), title="Noise and captions")
    optimizer: Optimizer = Field(Optimizer(), title="Optimizer")
    scale: Scale = Field(Scale(), title="Scale and memory")
    validation: Validation = Field(Validation(), title="Validation")
    saving: Saving = Field(Saving(), title="Checkpoints")
    tracking: Tracking = Field(Tracking(), title="Tracker")

    @field_validator("parquet", mode="before")
    @classmethod
    def as_folders(cls, parquet: Any) -> Any:
        return folders_from(parquet)

    @field_validator("tuning", mode="before")
    @classmethod
    def lora_unless_said(cls, tuning: Any) -> Any:
        return {"method": "lora", **tuning} if isinstance(tuning, dict) else tuning

    def anchored(self, base: Path) -> Self:
        """Read the relative folders of this spec from `base` on."""
        changes = {
            "parquet": tuple(folder.anchored(base) for folder in self.parquet),
            "model": anchored_folder(self.model, base),
            "tuning": self.tuning.anchored(base) if isinstance(self.tuning, Lora) else self.tuning,
            "validation": self.validation.anchored(base),
        }
        return self.model_copy(update=changes)
