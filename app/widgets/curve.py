"""The loss as a line chart."""

from typing import Any

import gradio as gr

from app.widgets.widget import widget


def loss_curve(value: Any = None, **layout: Any) -> gr.HTML:
    """Draw the loss over steps, smoothed and scaled as its reader likes.

    The value is {"points": [[step, loss]], "smoothed": bool, "markers": [{"step": int, "label": str}], "unit": str,
    "empty": sentence}; `smoothed` says how the slider stands at first, `unit` what the x axis counts ("step").
    """
    return widget("loss_curve", value, **layout)
