"""The end of a log, which follows new lines until its reader scrolls up."""

from typing import Any

from app.widgets.widget import Widget


class LogTail(Widget):
    """Show the newest lines of a log.

    The value is {"lines": [str], "from_line": int, "empty": sentence}; `from_line` numbers the first line given.
    """

    def __init__(self, value: Any = None, **layout: Any) -> None:
        super().__init__("log_tail", value, **layout)
