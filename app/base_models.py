"""Which base models a form offers, and what can be said of one before a job is started."""

import re
from pathlib import Path

import gradio as gr
from pydantic.fields import FieldInfo

from fastvideo_engine.errors import ModelError
from fastvideo_engine.families import Family, family_of
from fastvideo_engine.specs.base import is_folder
from worker import settings

# As every run folder sees them, so that a studio may move with its home.
_OF_THIS_HOME = "../../models/"
TINY_WAN = f"{_OF_THIS_HOME}tiny-wan"
_TINY_WAN_I2V = f"{_OF_THIS_HOME}tiny-wan-i2v"

CHOICES = [
    ("Tiny Wan 64×64, bundled", TINY_WAN),
    ("Tiny Wan image to video 64×64, bundled", _TINY_WAN_I2V),
    ("Wan 2.1 T2V 1.3B", "Wan-AI/Wan2.1-T2V-1.3B-Diffusers"),
    ("Wan 2.1 T2V 14B", "Wan-AI/Wan2.1-T2V-14B-Diffusers"),
    ("Wan 2.1 I2V 14B 480p", "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers"),
    ("Wan 2.2 TI2V 5B", "Wan-AI/Wan2.2-TI2V-5B-Diffusers"),
    ("Wan 2.2 T2V A14B", "Wan-AI/Wan2.2-T2V-A14B-Diffusers"),
    ("Wan 2.2 I2V A14B", "Wan-AI/Wan2.2-I2V-A14B-Diffusers"),
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
    """Make what someone typed independent of where the studio was started; hub ids and this home's models stay."""
    if model.startswith(_OF_THIS_HOME) or not is_folder(model):
        return model
    return str(Path(model).expanduser().resolve())


def seen_from_anywhere(model: str) -> str:
    """Name a model of this home by its whole path; others are what they are."""
    if model.startswith(_OF_THIS_HOME):
        return str(settings.models() / model.removeprefix(_OF_THIS_HOME))
    return model


def may_take_images(model: str) -> bool:
    """Tell whether a model can begin its videos with an image; of one that is on the hub the name must tell."""
    if not is_folder(seen_from_anywhere(model)):
        return any(sign in model.lower() for sign in ("i2v", "-inp"))
    try:
        return "i2v" in family(model).workloads
    except ModelError:
        return False


def family(model: str) -> Family:
    """Tell a model's family; raise `ModelError` when the folder is none, or the name cannot be a hub id."""
    found = seen_from_anywhere(model)
    if not is_folder(found) and not _HUB_ID.fullmatch(found):
        raise ModelError(f"“{model}” is neither a folder nor a Hugging Face id; write owner/name or a path.")
    return family_of(found)
