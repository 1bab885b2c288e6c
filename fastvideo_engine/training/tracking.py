"""Give a run's metrics to a tracker too, where one is asked for."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from fastvideo_engine.distributed import Ranks
from fastvideo_engine.errors import SpecError
from fastvideo_engine.events import Event, EventSink, Progress, SilentWriter
from fastvideo_engine.reporting import Reporter
from fastvideo_engine.run_folder import RunFolder
from fastvideo_engine.specs.train import TrainSpec


class TrackedEvents:
    """Events as they are, their metrics also in a tracker: what trackio and wandb have in common is all it takes."""

    def __init__(self, events: EventSink, tracker: ModuleType) -> None:
        self._events, self._tracker = events, tracker

    def write(self, event: Event) -> None:
        self._events.write(event)
        if isinstance(event, Progress) and event.metrics:
            self._tracker.log(event.metrics, step=event.done)


@contextmanager
def reported(spec: TrainSpec, folder: RunFolder, ranks: Ranks) -> Iterator[EventSink]:
    """Give what the events of a process are written to: those of the first are kept, and tracked where asked."""
    if not ranks.is_first:
        yield SilentWriter()
        return
    events, tracking = Reporter(folder), spec.tracking
    if tracking.tracker == "none":
        yield events
        return
    tracker = _installed(tracking.tracker)
    name = tracking.run_name or folder.path.resolve().name
    # A run that goes on is the same run there too: wandb knows it by its id, trackio by its name.
    identity = {"id": name} if tracking.tracker == "wandb" else {}
    tracker.init(project=tracking.project, name=name, config=spec.model_dump(mode="json"), resume="allow", **identity)
    try:
        yield TrackedEvents(events, tracker)
    finally:
        tracker.finish()


def _installed(package: str) -> ModuleType:
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError:
        raise SpecError(
            f"The tracker {package} is not installed; run `pip install {package}`, or set tracking.tracker to none."
        ) from None
