"""FastVideo's `validation.json`: what to sample while training, a row a video."""

import json
from pathlib import Path
from typing import Any, Self

from pydantic import ConfigDict, Field, ValidationError

from fastvideo_engine.errors import SpecError
from fastvideo_engine.specs.base import Part, anchored_path, in_words


class ValidationRow(Part):
    """One video to sample; what a row leaves out is as the rest of the spec says."""

    model_config = ConfigDict(extra="ignore")  # FastVideo's rows have fields of other model families too

    caption: str = Field(min_length=1)
    image_path: str | None = None
    video_path: str | None = None
    num_inference_steps: int | None = Field(None, ge=1, le=1000)
    height: int | None = Field(None, ge=16, le=4320)
    width: int | None = Field(None, ge=16, le=7680)
    num_frames: int | None = Field(None, ge=1, le=1001)
    guidance_scale: float | None = Field(None, ge=1, le=30)

    @property
    def image(self) -> str | None:
        """The picture, or the video, whose first frame an image-to-video sample begins with."""
        return self.image_path or self.video_path

    def anchored(self, base: Path) -> Self:
        """Read the relative paths of this row from `base` on."""
        paths = {"image_path": self.image_path, "video_path": self.video_path}
        return self.model_copy(update={name: path and anchored_path(path, base) for name, path in paths.items()})


def read_validation_file(file: Path) -> list[ValidationRow]:
    """Read the rows of a file, their paths being relative to its folder; raise `SpecError` when it holds none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SpecError(f"There is no validation file at {file}; check the path.") from None
    except (OSError, ValueError) as error:
        raise SpecError(f"{file} is not readable as JSON ({str(error).splitlines()[0]}); correct it there.") from None
    rows = content.get("data") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not rows:
        raise SpecError(f'{file} names no videos to sample; write {{"data": [{{"caption": "..."}}]}}.')
    return [_row(number, row, file) for number, row in enumerate(rows, start=1)]


def _row(number: int, row: Any, file: Path) -> ValidationRow:
    try:
        return ValidationRow.model_validate(row).anchored(file.parent)
    except ValidationError as error:
        raise SpecError(f"Row {number} of {file} does not hold: {in_words(error)}.") from None
