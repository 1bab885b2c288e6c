"""Where the files lie that come with the program: models, presets, sample clips."""

from pathlib import Path

ASSETS = Path(__file__).resolve().parents[1] / "assets"
TINY_WAN = ASSETS / "models" / "tiny-wan"
"""Text to video, 64x64, trained on the small world."""
TINY_WAN_IMAGE = ASSETS / "models" / "tiny-wan-i2v"
"""Image to video, otherwise the same."""
