"""Which Parquet to train on: one folder or several, each as often as it is asked for."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import Field

from fastvideo_engine.specs.base import Part, anchored_path

_WITH_WEIGHT = re.compile(r"(?P<path>.+):(?P<weight>\d+)")


class ParquetFolder(Part):
    """A folder of Parquet that preprocessing (or FastVideo) made."""

    path: str = Field(title="Folder", description="Made by preprocessing, or by FastVideo.", min_length=1)
    weight: int = Field(1, ge=1, le=1000, title="Weight", description="How often each of its clips comes in an epoch.")

    def anchored(self, base: Path) -> Self:
        """Read the relative path of this part from `base` on."""
        return self.model_copy(update={"path": anchored_path(self.path, base)})


def folders_from(written: Any) -> Any:
    """Understand `a`, `a:3,b:1`, or a list whose items are written so; what is whole already stays as it is."""
    if isinstance(written, str):
        return [_folder_from(part.strip()) for part in written.split(",") if part.strip()]
    if isinstance(written, Sequence):
        return [_folder_from(part) if isinstance(part, str) else part for part in written]
    return written


def _folder_from(written: str) -> dict[str, Any]:
    weighted = _WITH_WEIGHT.fullmatch(written)
    return dict(weighted.groupdict()) if weighted else {"path": written}
