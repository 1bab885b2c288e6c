"""The loss as a line chart."""

from typing import Any

from app.widgets.widget import Widget


class LossCurve(Widget):
    """Draw the loss over steps, smoothed and scaled as its reader likes.

    The value is {"points": [[step, loss]], "smoothed": bool, "markers": [{"step": int, "label": str}], "unit": str,
    "empty": sentence}; `smoothed` says how the slider stands at first, `unit` what the x axis counts ("step").
    """

    def __init__(self, value: Any = None, **layout: Any) -> None:
        super().__init__("loss_curve", value, **layout)
