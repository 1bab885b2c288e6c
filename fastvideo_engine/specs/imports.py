"""Which rows of a Hugging Face dataset to bring in as clips."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field

from fastvideo_engine.specs.base import Spec, anchored_folder


class ImportSpec(Spec):
    """Bring the videos and captions of a Hugging Face dataset into the run folder."""

    kind: Literal["import"] = "import"
    dataset: str = Field(
        title="Dataset", description="A Hugging Face id (owner/name) or the path of a local dataset.", min_length=1
    )
    split: str = Field("train", title="Split", description="Which split to read.", min_length=1)
    video_column: str = Field("video", title="Video column", description="Holds the videos.", min_length=1)
    caption_column: str = Field("caption", title="Caption column", description="Holds the captions.", min_length=1)
    limit: int | None = Field(None, ge=1, title="At most", description="Take only the first rows; empty takes all.")
    processes: Literal[1] = 1

    def anchored(self, base: Path) -> Self:
        """Read the relative folders of this spec from `base` on."""
        return self.model_copy(update={"dataset": anchored_folder(self.dataset, base)})
