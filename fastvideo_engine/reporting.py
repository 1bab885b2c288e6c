"""Say what the engine does, twice: as events for the studio and as lines for a person at a terminal."""

from fastvideo_engine.events import (
    ArtifactMade,
    ClipImported,
    ClipRejected,
    Event,
    EventWriter,
    Failed,
    Finished,
    Note,
    Phase,
    Progress,
    Stopped,
)
from fastvideo_engine.run_folder import RunFolder


class Reporter:
    """Write each event to the run folder and as a line to the terminal (which the worker keeps as the log)."""

    def __init__(self, folder: RunFolder) -> None:
        self._events = EventWriter(folder.events)

    def write(self, event: Event) -> None:
        self._events.write(event)
        print(f"{event.at.astimezone():%H:%M:%S} {line(event)}", flush=True)


def line(event: Event) -> str:
    """Say an event in one line."""
    match event:
        case Phase(title=text) | Note(text=text) | Stopped(text=text) | Finished(text=text) | Failed(text=text):
            return text
        case Progress():
            return _progress_line(event)
        case ClipRejected(clip=clip, reason=reason):
            return f"Left out {clip}: {reason}"
        case ClipImported(name=name):
            return f"Imported {name}"
        case ArtifactMade(kind=kind, path=path):
            return f"Wrote {kind} {path}"


def _progress_line(event: Progress) -> str:
    numbers = "".join(f"  {name.replace('_', ' ')} {value:.4g}" for name, value in event.metrics.items())
    left = "" if event.seconds_left is None else f"  {_duration(event.seconds_left)} left"
    return f"{event.done}/{event.total}{numbers}{left}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
