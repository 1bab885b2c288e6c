"""The end of a log, which follows new lines until its reader scrolls up."""

from typing import Any

import gradio as gr

from app.widgets.widget import widget


def log_tail(value: Any = None, **layout: Any) -> gr.HTML:
    """Show the newest lines of a log.

    The value is {"lines": [str], "from_line": int, "empty": sentence}; `from_line` numbers the first line given.
    """
    return widget("log_tail", value, **layout)
