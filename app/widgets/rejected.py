"""Clips that are left out, each with the reason."""

from typing import Any

from app.widgets.widget import Widget


class RejectedClips(Widget):
    """List the clips that cannot be used; the value is {"clips": [{"name", "reason"}], "empty": sentence}."""

    def __init__(self, value: Any = None, **layout: Any) -> None:
        super().__init__("rejected", value, **layout)
