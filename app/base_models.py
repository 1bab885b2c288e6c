"""Which base models a form offers, and what can be said of one before a job is started."""

import re
from pathlib import Path

import gradio as gr
from pydantic.fields import FieldInfo

from fastvideo_engine.errors import ModelError
from fastvideo_engine.families import Family, family_of
from fastvideo_engine.specs.base import is_folder
from worker import settings

SMALL_MODEL = "../../models/small-wan"
"""The bundled model, as every run folder sees it, so that a studio may move with its home."""

CHOICES = [
    ("Small Wan (bundled, untrained)", SMALL_MODEL),
    ("Wan 2.1 T2V 1.3B", "Wan-AI/Wan2.1-T2V-1.3B-Diffusers"),
    ("Wan 2.1 T2V 14B", "Wan-AI/Wan2.1-T2V-14B-Diffusers"),
]
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def draw(field: FieldInfo) -> gr.Dropdown:
    """Draw the input of a base model: one of the list, or anything typed."""
    return gr.Dropdown(CHOICES, label=field.title, info=field.description, allow_custom_value=True, min_width=320)


def title_of(model: str) -> str:
    """Name a model the way a person would."""
    titles = {value: title for title, value in CHOICES}
    return titles.get(model, model)


def as_typed(model: str) -> str:
    """Make what someone typed independent of where the studio was started; hub ids and the bundled model stay."""
    if model == SMALL_MODEL or not is_folder(model):
        return model
    return str(Path(model).expanduser().resolve())


def family(model: str) -> Family:
    """Tell a model's family; raise `ModelError` when the folder is none, or the name cannot be a hub id."""
    if model == SMALL_MODEL:
        # It may not be made yet; then only its place is known, which says enough.
        model = str(settings.small_model()) if settings.small_model().exists() else CHOICES[1][1]
    if not is_folder(model) and not _HUB_ID.fullmatch(model):
        raise ModelError(f"“{model}” is neither a folder nor a Hugging Face id; write owner/name or a path.")
    return family_of(model)
