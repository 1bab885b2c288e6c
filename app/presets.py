"""Named starting points for forms: one YAML file each, a title and the settings that it sets."""

from dataclasses import dataclass
from typing import Any

import yaml

from fastvideo_engine import assets


@dataclass(frozen=True)
class Preset:
    """Settings of one kind of spec under a title."""

    title: str
    settings: dict[str, Any]


def of_kind(kind: str) -> list[Preset]:
    """List the presets of a kind, in the order of their file names."""
    files = sorted((assets.FOLDER / "presets").glob(f"{kind}-*.yaml"))
    return [Preset(**yaml.safe_load(file.read_text(encoding="utf-8"))) for file in files]
