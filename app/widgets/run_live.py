"""The state of a job in words, with a bar and the time left."""

from typing import Any

from app.widgets.widget import Widget


class RunLive(Widget):
    """Show how far a job is.

    The value is {"state": "queued|running|stopping|stopped|failed|finished", "headline": str, "detail": str,
    "done": int, "total": int, "unit": str, "seconds_left": float | None, "pace": str, "metrics": {name: float},
    "notices": [{"level": "info|warning|error", "text": str}]}. The time left counts down between updates.
    """

    def __init__(self, value: Any = None, **layout: Any) -> None:
        super().__init__("run_live", value, **layout)
