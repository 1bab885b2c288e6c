"""How caption files name videos and captions: the spellings of FastVideo's datasets and of its users."""

from typing import Any

NAME_FIELDS = ("path", "name")
CAPTION_FIELDS = ("cap", "caption", "text", "prompt")


def name_and_caption(row: dict[str, Any]) -> tuple[str, str]:
    """Read one row of a caption file; what it does not say is empty, and of several captions the first counts."""
    return _first_text(row, NAME_FIELDS), _first_text(row, CAPTION_FIELDS)


def _first_text(row: dict[str, Any], fields: tuple[str, ...]) -> str:
    for field in fields:
        value = row.get(field)
        for text in value if isinstance(value, list) else [value]:
            if text and str(text).strip():
                return str(text).strip()
    return ""
