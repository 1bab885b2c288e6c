"""The model families: one file each, and the way to tell which a model belongs to."""

import json
from pathlib import Path
from typing import Any

from fastvideo_engine.errors import ModelError
from fastvideo_engine.families.family import Family
from fastvideo_engine.families.wan import WAN, WAN_I2V
from fastvideo_engine.specs.base import is_folder

__all__ = ["FAMILIES", "Family", "family_of", "family_of_folder"]

FAMILIES = (WAN, WAN_I2V)


def family_of(model: str) -> Family:
    """Tell a model's family from its folder; a hub id, unread as yet, is taken for the first family.

    Raises `ModelError` when the folder is missing or holds no model that we know.
    """
    return family_of_folder(Path(model).expanduser()) if is_folder(model) else FAMILIES[0]


def family_of_folder(folder: Path) -> Family:
    """Tell the family of a model in the diffusers format; raise `ModelError` when it is none that we know."""
    index = folder / "model_index.json"
    if not folder.is_dir():
        raise ModelError(f"There is no model folder at {folder}; check the path, or give a Hugging Face id.")
    try:
        contents = json.loads(index.read_text(encoding="utf-8"))
        pipeline = contents["_class_name"]
    except FileNotFoundError:
        raise ModelError(
            f"{folder} is not a model in the diffusers format (it has no model_index.json); "
            "choose the folder that holds transformer/, vae/ and text_encoder/."
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        raise ModelError(f"{index} is damaged; fetch the model again.") from None
    for family in FAMILIES:
        if family.pipeline_class == pipeline:
            return family.as_configured(contents, _config_of(folder, "vae"), _config_of(folder, "transformer"))
    known = ", ".join(family.pipeline_class for family in FAMILIES)
    raise ModelError(f"{folder} holds a {pipeline}, which the studio cannot train; it takes {known}.")


def _config_of(folder: Path, part: str) -> dict[str, Any]:
    """Read a part's settings; what cannot be read is said by whoever loads the part, which not everyone needs."""
    try:
        settings = json.loads((folder / part / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return settings if isinstance(settings, dict) else {}
