"""The loss of a run, read from its events as they grow and thinned for the page."""

import threading
from collections import OrderedDict

from fastvideo_engine.events import Progress, read_events
from worker.store.tables import Job

Point = tuple[int, float]

_MOST_POINTS = 600
_KEPT_RUNS = 32


class _LossReader:
    """The losses of one run, and how far its events are read: only what is new is read again."""

    def __init__(self) -> None:
        self._offset, self._loss_at = 0, dict[int, float]()
        self._lock = threading.Lock()

    def read(self, job: Job) -> list[Point]:
        with self._lock:
            events, self._offset = read_events(job.folder.events, self._offset)
            for event in events:
                if isinstance(event, Progress) and "loss" in event.metrics:
                    self._loss_at[event.done] = event.metrics["loss"]  # a resumed run says some steps twice
            return sorted(self._loss_at.items())


_readers: OrderedDict[int, _LossReader] = OrderedDict()


def loss_points(job: Job) -> list[Point]:
    """Give (step, loss) of a run, thinned to what a screen can show."""
    assert job.id is not None
    reader = _readers.setdefault(job.id, _LossReader())
    _readers.move_to_end(job.id)
    while len(_readers) > _KEPT_RUNS:
        _readers.popitem(last=False)
    return thinned(reader.read(job), _MOST_POINTS)


def thinned(points: list[Point], most: int) -> list[Point]:
    """Keep the lowest and the highest point of each stretch, so that no spike is lost."""
    if len(points) <= most:
        return points
    stretch = -(-len(points) // (most // 2))
    kept: list[Point] = []
    for start in range(0, len(points), stretch):
        part = points[start : start + stretch]
        kept += sorted({min(part, key=lambda point: point[1]), max(part, key=lambda point: point[1])})
    return kept
