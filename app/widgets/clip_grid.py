"""Clips as cards that play in place, with captions that save themselves."""

from collections.abc import Callable
from typing import Any

from app.widgets.widget import Widget

Answer = dict[str, Any]
"""{"ok": bool, "error": sentence}"""


class ClipGrid(Widget):
    """Show and caption clips.

    The value is {"clips": [{"id", "name", "poster", "video", "facts", "caption", "problem"}], "read_only": bool,
    "empty": sentence}. A caption is kept with `on_caption(clip_id, caption)`, a clip removed with `on_remove(clip_id)`.
    """

    def __init__(
        self,
        value: Any = None,
        *,
        on_caption: Callable[[Any, str], Answer],
        on_remove: Callable[[Any], Answer],
        **layout: Any,
    ) -> None:
        # The browser sends all arguments of a call as one list.
        def save_caption(call: list[Any]) -> Answer:
            clip_id, caption = call
            return on_caption(clip_id, caption)

        def remove_clip(call: list[Any]) -> Answer:
            (clip_id,) = call
            return on_remove(clip_id)

        super().__init__("clip_grid", value, server_functions=[save_caption, remove_clip], **layout)
