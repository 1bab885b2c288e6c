"""Numbers and moments the way a person says them."""

import time


def ago(moment: float | None) -> str:
    """Say how long ago a moment was."""
    if moment is None:
        return ""
    seconds = max(0, time.time() - moment)
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{int(seconds // unit)} {name} ago"
    return "just now"


def lasting(seconds: float) -> str:
    """Say a duration."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def count(number: int, noun: str) -> str:
    """Say so many of something: 1 clip, 2 clips."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
