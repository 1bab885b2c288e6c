"""What the engine's tests share: events of a run folder, and the merged dataset that FastVideo read."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
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


@pytest.fixture
def spoilt(make_clip: Callable[..., Path]) -> Callable[[Path, str], Path]:
    """Write a file that claims to be a video and is spoilt in one of several ways."""

    def make(path: Path, how: str) -> Path:
        content = make_clip(path).read_bytes()
        match how:
            case "text":
                path.write_text("not a video at all\n" * 50)
            case "empty":
                path.write_bytes(b"")
            case "cut short":
                path.write_bytes(content[: len(content) * 2 // 3])
            case "damaged in the middle":
                path.write_bytes(_with_noise_in_packet(path, content, 20))
        return path

    return make


def _with_noise_in_packet(path: Path, content: bytes, number: int) -> bytes:
    with av.open(str(path)) as container:
        packet = list(container.streams.video[0].index_entries)[number]
    start, end = packet.pos + 8, packet.pos + packet.size  # the packet's own header stays
    noise = np.random.default_rng(0).integers(0, 256, end - start, dtype=np.uint8).tobytes()
    return content[:start] + noise + content[end:]
