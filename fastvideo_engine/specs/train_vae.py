"""How to train a small VAE on the small world."""

from pydantic import Field, model_validator

from fastvideo_engine.specs.base import Part


class VaeStage(Part):
    """Some steps on clips of one length; a VAE that has seen short clips only does not carry over to long ones."""

    frames: int = Field(ge=1, title="Frames", description="Frames of a clip, 4k+1; 1 for single pictures.")
    steps: int = Field(ge=1, title="Steps", description="Optimizer steps.")
    batch_size: int = Field(ge=1, title="Batch size", description="Clips a step.")
    learning_rate: float = Field(gt=0, le=1, title="Learning rate", description="AdamW's, at its highest.")


class VaeRecipe(Part):
    """A VAE of Wan's architecture and the stages of its training, short clips first."""

    seed: int = Field(1, ge=0, lt=2**63, title="Seed", description="Of the weights, the clips and their order.")
    base_dim: int = Field(8, ge=8, title="Width", description="Channels of the widest layers in pixels.")
    dim_mult: list[int] = Field([1, 2, 4, 8], title="Widths", description="Of each level, in multiples of the first.")
    num_res_blocks: int = Field(1, ge=1, title="Blocks", description="Residual blocks of a level.")
    clips: int = Field(3000, ge=1, title="Clips", description="Different clips that each stage draws.")
    latent_noise: float = Field(
        0.1, ge=0, title="Latent noise", description="Deviation of the noise that the decoder learns to look past."
    )
    latent_penalty: float = Field(
        1e-3, ge=0, title="Latent penalty", description="Weight of the latents' mean square, which keeps them small."
    )
    stages: list[VaeStage] = Field(min_length=1, title="Stages")

    @model_validator(mode="after")
    def of_whole_latents(self) -> "VaeRecipe":
        odd = [stage.frames for stage in self.stages if stage.frames % 4 != 1]
        if odd:
            raise ValueError(f"a stage has {odd[0]} frames; the VAE takes 4k+1, such as 1, 5, 9, 13 or 17")
        return self
