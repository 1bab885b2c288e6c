"""What to preprocess, and into which shape."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fastvideo_engine.specs.base import Part, Spec, anchored_folder, anchored_path

AUTOMATIC = "automatic"


class MergedFolder(Part):
    """A folder with `videos/` and `videos2caption.json`, the layout that FastVideo calls merged."""

    type: Literal["merged"] = "merged"
    path: str = Field(title="Folder", description="Holds videos/ and videos2caption.json.")


class Manifest(Part):
    """A file that lists the clips, or a folder of videos with their captions beside them.

    Read are JSONL, JSON and CSV with a path and a caption (paths may be relative to the file); a folder with
    `videos.txt` and `prompt.txt`; and any other folder, each video in it with the caption in its own `.txt`.
    """

    type: Literal["manifest"] = "manifest"
    path: str = Field(title="List or folder", description="JSONL, JSON or CSV with path and caption, or a folder.")


class HuggingFaceSource(Part):
    """A Hugging Face dataset, on the hub or in a folder; its videos are read as they come and never kept."""

    type: Literal["hf"] = "hf"
    path: str = Field(title="Dataset", description="A Hugging Face id (owner/name) or a folder.", min_length=1)
    config: str | None = Field(None, title="Configuration", description="Of a dataset that has several.")
    split: str = Field("train", title="Split", description="Which split to read.", min_length=1)
    revision: str | None = Field(None, title="Revision", description="A commit, tag or branch; empty takes the newest.")
    video_column: str = Field(AUTOMATIC, title="Video column", description="Holds the videos.", min_length=1)
    caption_column: str = Field(AUTOMATIC, title="Caption column", description="Holds the captions.", min_length=1)
    streaming: bool = Field(True, title="Streaming", description="Read from the hub row by row, without a copy here.")
    limit: int | None = Field(None, ge=1, title="At most", description="Take only the first rows; empty takes all.")


class Selection(Part):
    """Which part of a video is taken, and which videos are left out."""

    long_clips: Literal["head", "random", "split", "scenes"] = Field(
        "head",
        title="Long videos",
        description="Take their beginning, a random part, all parts of equal length, or all parts between scene cuts.",
    )
    scene_threshold: float = Field(
        0.15, gt=0, le=1, title="Scene threshold", description="How unlike two frames at a cut are; 1: black to white."
    )
    longest: float | None = Field(
        None, gt=0, title="Longest video", description="Leave out videos so many times as long as needed; empty: none."
    )
    drop_short_ratio: float = Field(
        1.0, ge=0, le=1, title="Leave out short videos", description="Share of too short videos that is left out."
    )
    speed_factor: float = Field(
        1.0, gt=0, le=100, title="Speed", description="2 takes frames twice as far apart, so that all moves faster."
    )


class Captions(Part):
    """Which captions are encoded."""

    choice: Literal["first", "random", "all"] = Field(
        "first", title="Several captions", description="Of a video with several: the first, a random one, or all."
    )
    training_cfg_rate: float = Field(
        0.0,
        ge=0,
        le=1,
        title="Leave out captions",
        description="Share of captions replaced for good by an empty one; dropping them in training is better.",
    )


class HeldOut(Part):
    """Which clips are kept for validation, in a folder of their own."""

    share: float = Field(0.0, ge=0, lt=1, title="Share held out", description="0 trains on everything.")
    split: str | None = Field(
        None,
        title="Validation split",
        description="Of a Hugging Face dataset, held out whole; automatic takes validation where there is one.",
    )


class Decoding(Part):
    """How frames are read."""

    decoder: Literal["automatic", "torchcodec", "pyav"] = Field(
        "automatic",
        title="Decoder",
        description="PyAV notices damage as it reads: the automatic choice. torchcodec needs FFmpeg installed.",
    )
    workers: int = Field(
        4, ge=0, le=64, title="Clips read ahead", description="While the encoder works; 0 reads none ahead."
    )


class Encoding(Part):
    """How exactly, and how many at once."""

    vae_precision: Literal["float32", "bfloat16"] = Field(
        "float32", title="VAE precision", description="bfloat16 is twice as fast and a little less exact."
    )
    text_precision: Literal["float32", "bfloat16"] = Field(
        "float32", title="Text encoder precision", description="bfloat16 takes half the memory."
    )
    batch_size: int = Field(1, ge=1, le=256, title="Clips at once", description="More take more memory.")


class Output(Part):
    """How the Parquet is laid out."""

    buckets: bool = Field(
        False,
        title="Buckets",
        description="Give each clip the size and length nearest to its own, in a folder per shape.",
    )
    samples_per_file: int = Field(8, ge=1, le=65536, title="Clips per file", description="Rows of a Parquet file.")
    flush_frequency: int = Field(
        8, ge=1, le=65536, title="Write every … clips", description="A crash costs at most what is not written yet."
    )
    rows_per_group: int = Field(
        1, ge=1, le=4, title="Rows per group", description="A reader that wants one row reads a whole group."
    )


Source = Annotated[MergedFolder | Manifest | HuggingFaceSource, Field(discriminator="type")]


class PreprocessSpec(Spec):
    """Encode clips and captions into Parquet that a trainer reads."""

    kind: Literal["preprocess"] = "preprocess"
    model: str = Field(
        title="Base model",
        description="A Hugging Face id or a folder in the diffusers format. Its VAE and text encoder do the encoding.",
        min_length=1,
    )
    workload: Literal["t2v", "i2v"] = Field(
        "t2v", title="Workload", description="What will be trained: text to video, or image and text to video."
    )
    source: Source
    height: int = Field(480, ge=16, le=4320, title="Height", description="Pixels. Clips are cropped to the shape.")
    width: int = Field(832, ge=16, le=7680, title="Width", description="Pixels. Clips are cropped to the shape.")
    frames: int = Field(77, ge=1, le=1001, title="Frames", description="Frames of each clip; Wan takes 4k+1.")
    fps: float = Field(16, gt=0, le=240, title="Frames per second", description="Clips are resampled to this rate.")
    parity: Literal["none", "fastvideo"] = Field(
        "none",
        title="Same pixels as",
        description="none takes the nearest frames and resizes well; fastvideo takes exactly what FastVideo takes.",
    )
    seed: int = Field(42, ge=0, lt=2**63, title="Seed", description="Of all that is chosen at random.")
    max_bad_share: float = Field(
        0.5, ge=0, le=1, title="Bad clips at most", description="The job fails when a larger share cannot be used."
    )
    processes: int = Field(1, ge=1, le=64, title="Processes", description="One a GPU; the clips are shared out.")
    selection: Selection = Field(Selection(), title="Long and short videos")
    captions: Captions = Field(Captions(), title="Captions")
    held_out: HeldOut = Field(HeldOut(), title="Validation data")
    decoding: Decoding = Field(Decoding(), title="Reading")
    encoding: Encoding = Field(Encoding(), title="Encoding")
    output: Output = Field(Output(), title="Parquet")

    @model_validator(mode="after")
    def splits_belong_to_hugging_face(self) -> Self:
        if self.held_out.split and not isinstance(self.source, HuggingFaceSource):
            raise ValueError("only a Hugging Face dataset has splits; hold out a share (held_out.share) instead")
        return self

    def anchored(self, base: Path) -> Self:
        """Read the relative folders of this spec from `base` on."""
        here = anchored_folder(self.source.path, base)
        if not isinstance(self.source, HuggingFaceSource):
            here = anchored_path(self.source.path, base)
        source = self.source.model_copy(update={"path": here})
        return self.model_copy(update={"source": source, "model": anchored_folder(self.model, base)})
