"""Clips that are left out, each with the reason."""

from typing import Any

import gradio as gr

from app.widgets.widget import widget


def rejected_clips(value: Any = None, **layout: Any) -> gr.HTML:
    """List the clips that cannot be used; the value is {"clips": [{"name", "reason"}], "empty": sentence}."""
    return widget("rejected", value, **layout)
