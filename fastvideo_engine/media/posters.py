"""Make the still picture that stands for a clip until it plays."""

import io
from pathlib import Path

from PIL import Image

from fastvideo_engine.media.reading import read_rgb_frames
from fastvideo_engine.run_folder import write_whole

_JPEG_QUALITY = 82


def write_poster(video: Path, jpeg: Path, height: int) -> None:
    """Write a video's first frame as a JPEG of this height, so that playing starts without a jump."""
    picture = Image.fromarray(read_rgb_frames(video, [0])[0])
    width = max(1, round(picture.width * height / picture.height))
    content = io.BytesIO()
    picture.resize((width, height), Image.Resampling.LANCZOS).save(content, "JPEG", quality=_JPEG_QUALITY)
    write_whole(jpeg, content.getvalue())
