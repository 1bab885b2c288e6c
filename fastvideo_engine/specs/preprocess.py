"""What to preprocess, and into which shape."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field

from fastvideo_engine.specs.base import Part, Spec, anchored_folder


class MergedFolder(Part):
    """A folder with `videos/` and `videos2caption.json`, the layout that FastVideo calls merged."""

    type: Literal["merged"] = "merged"
    path: str = Field(title="Folder", description="Holds videos/ and videos2caption.json.")


class Manifest(Part):
    """A file that lists the clips, one `{"path", "caption"}` a line; paths may be relative to the file."""

    type: Literal["manifest"] = "manifest"
    path: str = Field(title="Manifest", description="A JSONL file with path and caption.")


class PreprocessSpec(Spec):
    """Encode clips and captions into Parquet that a trainer reads."""

    kind: Literal["preprocess"] = "preprocess"
    model: str = Field(
        title="Base model",
        description="A Hugging Face id or a folder in the diffusers format. Its VAE and text encoder do the encoding.",
        min_length=1,
    )
    workload: Literal["t2v"] = Field("t2v", title="Workload", description="What will be trained: t2v is text to video.")
    source: Annotated[MergedFolder | Manifest, Field(discriminator="type")]
    height: int = Field(480, ge=16, le=4320, title="Height", description="Pixels. Clips are cropped to the shape.")
    width: int = Field(832, ge=16, le=7680, title="Width", description="Pixels. Clips are cropped to the shape.")
    frames: int = Field(77, ge=1, le=1001, title="Frames", description="Frames of each clip; Wan takes 4k+1.")
    fps: float = Field(16, gt=0, le=240, title="Frames per second", description="Clips are resampled to this rate.")
    processes: int = Field(1, ge=1, le=64, title="Processes", description="One a GPU; the clips are shared out.")

    def anchored(self, base: Path) -> Self:
        """Read the relative folders of this spec from `base` on."""
        source = self.source.model_copy(update={"path": str((base / Path(self.source.path).expanduser()).resolve())})
        return self.model_copy(update={"source": source, "model": anchored_folder(self.model, base)})
