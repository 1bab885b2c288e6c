"""Clips as cards that play in place, with captions that save themselves."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from app.widgets.widget import widget

Answer = dict[str, Any]
"""{"ok": bool, "error": sentence, "notice": sentence to show instead of "Saved"}"""


def clip_grid(
    value: Any = None,
    *,
    on_caption: Callable[[Any, str, str], Answer],
    on_remove: Callable[[Any], Answer],
    **layout: Any,
) -> gr.HTML:
    """Show and caption clips.

    The value is {"clips": [{"id", "name", "poster", "video", "facts", "caption", "problem"}], "read_only": bool,
    "empty": sentence}. A caption is kept with `on_caption(clip_id, caption, before)`, where
    `before` is the caption that this window last knew of; a clip is removed with `on_remove(clip_id)`.
    """

    # The browser sends all arguments of a call as one list.
    def save_caption(call: list[Any]) -> Answer:
        clip_id, caption, before = call
        return on_caption(clip_id, caption, before)

    def remove_clip(call: list[Any]) -> Answer:
        (clip_id,) = call
        return on_remove(clip_id)

    return widget("clip_grid", value, server_functions=[save_caption, remove_clip], **layout)
