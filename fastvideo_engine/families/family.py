"""What the engine and the pages must know of a model family before any weights are read."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """Facts of a model family; what a single model decides (channels, layers) is read from its own configs."""

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
    original_names: tuple[tuple[str, str], ...]
    """Parts of diffusers' layer names, and what the model's authors call them."""

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

    def latent_frames(self, frames: int) -> int:
        return (frames - 1) // self.frame_stride + 1

    def original_name(self, layer: str) -> str:
        """Translate a layer's diffusers name to the one its authors gave it, which adapters are saved under."""
        for ours, theirs in self.original_names:
            layer = layer.replace(ours, theirs)
        return layer
