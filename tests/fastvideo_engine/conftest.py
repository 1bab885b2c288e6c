"""What the engine's tests share: events of a run folder, and the merged dataset that FastVideo read."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fastvideo_engine.events import Event, read_events
from fastvideo_engine.run_folder import RunFolder


@pytest.fixture
def events_of() -> Callable[..., list[Event]]:
    """List what a run folder's engine reported, all of it or of one kind of event."""

    def read(folder: RunFolder, kind: type | None = None) -> list[Event]:
        events, _ = read_events(folder.events)
        return [event for event in events if kind is None or isinstance(event, kind)]

    return read


@pytest.fixture(scope="session")
def merged_dataset(fastvideo_fixtures: Path) -> Path:
    """Eight short clips with captions in the layout that FastVideo calls merged."""
    return fastvideo_fixtures / "dataset"
