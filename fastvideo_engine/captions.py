"""How caption files name videos and captions: the spellings of FastVideo's datasets and of its users."""

from typing import Any

NAME_FIELDS = ("path", "name", "video", "file_name", "video_path", "file")
CAPTION_FIELDS = ("cap", "caption", "text", "prompt")


def name_and_caption(row: dict[str, Any]) -> tuple[str, str]:
    """Read one row of a caption file; what it does not say is empty, and of several captions the first counts."""
    name, captions = name_and_captions(row)
    return name, next(iter(captions), "")


def name_and_captions(row: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Read one row of a caption file: the name that it gives a video, and all the captions that say something."""
    return next(iter(_texts(row, NAME_FIELDS)), ""), _texts(row, CAPTION_FIELDS)


def texts_in(value: Any) -> tuple[str, ...]:
    """Read the texts that a field holds, itself or in a list; blank ones are none."""
    several = value if isinstance(value, list | tuple) else [value]
    return tuple(str(text).strip() for text in several if text and str(text).strip())


def _texts(row: dict[str, Any], fields: tuple[str, ...]) -> tuple[str, ...]:
    return next((texts for field in fields if (texts := texts_in(row.get(field)))), ())
