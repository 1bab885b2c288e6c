"""Pictures, which count as videos of one frame."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fastvideo_engine.errors import ClipError

_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
_UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


def is_still(path: Path) -> bool:
    """Tell a picture from a video by its content; what is animated is a video."""
    try:
        with Image.open(path, formats=_FORMATS) as picture:
            return getattr(picture, "n_frames", 1) == 1
    except (UnidentifiedImageError, *_UNREADABLE):
        return False


def read_still(path: Path) -> np.ndarray:
    """Read a picture as HWC uint8, turned the way it is looked at; what is transparent becomes white."""
    try:
        with Image.open(path, formats=_FORMATS) as picture:
            upright = ImageOps.exif_transpose(picture)
            if upright.mode.startswith("I;16") or upright.mode == "I":
                # PIL cuts 16 bits off at 255 instead of scaling them.
                grey = (np.asarray(upright).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8)
                return np.repeat(grey[..., None], 3, axis=2)
            if upright.has_transparency_data:
                return over_white(np.asarray(upright.convert("RGBA")))
            return np.asarray(upright.convert("RGB"))
    except _UNREADABLE as error:
        raise ClipError(f"The picture is damaged ({str(error).splitlines()[0]}).") from None


def over_white(rgba: np.ndarray) -> np.ndarray:
    """Lay HWC pixels with transparency over white: what they hide under it is anyone's guess."""
    alpha = rgba[..., 3:].astype(np.float32) / 255
    blended: np.ndarray = np.rint(rgba[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return blended
