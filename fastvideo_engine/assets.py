"""Where the files lie that come with the code: bundled models, sample clips, presets, styles and scripts."""

from pathlib import Path

_INSTALLED = Path(__file__).parent / "assets"  # where a wheel has them
FOLDER = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parents[1] / "assets"
EXAMPLES = FOLDER / "examples"
MODELS = FOLDER / "models"
