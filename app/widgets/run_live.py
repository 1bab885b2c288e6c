"""The state of a job in words, with a bar and the time left."""

from typing import Any

import gradio as gr

from app.widgets.widget import widget


def run_live(value: Any = None, **layout: Any) -> gr.HTML:
    """Show how far a job is.

    The value is {"state": "queued|running|stopping|stopped|failed|finished", "headline": str, "detail": str,
    "done": int, "total": int, "unit": str, "seconds_left": float | None, "pace": str, "metrics": {name: float},
    "notices": [{"level": "info|warning|error", "text": str}]}. The time left counts down between updates.
    """
    return widget("run_live", value, **layout)
