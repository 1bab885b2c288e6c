"""What tests of every package share: the fixtures made by FastVideo itself, run folders, and real small clips."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from fastvideo_engine.media import write_mp4
from fastvideo_engine.run_folder import RunFolder

_FIXTURES = Path(__file__).parent / "fixtures" / "fastvideo"

MakeClip = Callable[..., Path]


@pytest.fixture(scope="session")
def fastvideo_fixtures() -> Path:
    """The folder of clips, small models and Parquet that FastVideo itself made or read."""
    return _FIXTURES


@pytest.fixture(scope="session")
def tiny_wan(fastvideo_fixtures: Path) -> Path:
    """A text-to-video Wan of a few hundred kilobytes with random weights."""
    return fastvideo_fixtures / "models" / "wan-t2v-tiny"


@pytest.fixture(scope="session")
def tiny_wan_i2v(fastvideo_fixtures: Path) -> Path:
    """An image-to-video Wan 2.1, with CLIP, of a few megabytes with random weights."""
    return fastvideo_fixtures / "models" / "wan-i2v-tiny"


@pytest.fixture
def run_folder(tmp_path: Path) -> Callable[[str], RunFolder]:
    """Make empty run folders by name."""

    def make(name: str = "run") -> RunFolder:
        folder = RunFolder(tmp_path / name)
        folder.path.mkdir(parents=True, exist_ok=True)
        return folder

    return make


@pytest.fixture(scope="session")
def make_clip() -> MakeClip:
    """Write real videos: a square that wanders over a gradient, so that no two frames are alike."""

    def make(path: Path, seconds: float = 2, fps: float = 24, size: tuple[int, int] = (160, 120)) -> Path:
        write_mp4(path, _wandering_square(round(seconds * fps), *size), fps, {})
        return path

    return make


def _wandering_square(frames: int, width: int, height: int) -> Iterator[np.ndarray]:
    side = min(width, height) // 4
    for number in range(frames):
        picture = np.zeros((height, width, 3), np.uint8)
        picture[..., 0] = np.linspace(0, 255, width, dtype=np.uint8)
        picture[..., 1] = np.linspace(0, 255, height, dtype=np.uint8)[:, None]
        left, top = (number * 3) % (width - side), (number * 2) % (height - side)
        picture[top : top + side, left : left + side] = 255
        yield picture
