"""What the engine's tests share: events of a run folder, and the merged dataset that FastVideo read."""

from collections.abc import Callable, Sequence
from fractions import Fraction
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


@pytest.fixture(scope="session")
def film() -> Callable[..., Path]:
    """Write pictures, HWC uint8, as a video of any codec and format, at a rate or each at its own millisecond."""

    def make(
        path: Path,
        pictures: Sequence[np.ndarray],
        fps: int = 24,
        milliseconds: Sequence[int] | None = None,
        codec: str = "libx264",
        pixels: str = "yuv420p",
        **options: str,
    ) -> Path:
        height, width, channels = pictures[0].shape
        tick = Fraction(1, 1000) if milliseconds else Fraction(1, fps)
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=fps, options=options)
            stream.width, stream.height, stream.pix_fmt = width, height, pixels
            stream.codec_context.time_base = tick
            for number, picture in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(picture, format="rgba" if channels == 4 else "rgb24")
                frame.pts, frame.time_base = milliseconds[number] if milliseconds else number, tick
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return make


@pytest.fixture(scope="session")
def greys() -> Callable[..., list[np.ndarray]]:
    """Make pictures whose brightness tells their number: 6 levels more each."""

    def make(count: int, height: int = 64, width: int = 64) -> list[np.ndarray]:
        return [np.full((height, width, 3), 6 * number % 256, np.uint8) for number in range(count)]

    return make
