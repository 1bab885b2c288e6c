"""The flags of FastVideo's preprocessing command: their names, defaults and meaning, and the spec that they ask for."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastvideo_engine.command_line import Asked
from fastvideo_engine.errors import ModelError
from fastvideo_engine.families import family_of
from fastvideo_engine.fastvideo_flags.parsing import Flag, parser_of, told_without_effect, values_and_rest, yes_or_no
from fastvideo_engine.run_folder import RunFolder
from fastvideo_engine.specs.preprocess import AUTOMATIC

_PROGRAM = "fastvideo_engine.preprocess"
_PRECISIONS = ("fp32", "bf16", "fp16")
FLAGS = (
    Flag("model-path", str, "", "the base model, a Hugging Face id or a folder"),
    Flag("mode", str, "preprocess", "what this command does", ("preprocess",)),
    Flag("workload-type", str, "t2v", "what will be trained", ("t2v", "i2v")),
    Flag("vae-precision", str, "fp32", "of the VAE", _PRECISIONS),
    Flag("text-encoder-precisions", str, "fp32", "of the text encoder", _PRECISIONS),
    Flag("max-bad-share", float, 0.5, "the job fails when a larger share of the clips cannot be used"),
    Flag("preprocess.model-path", str, "", "the base model, before --model-path"),
    Flag("preprocess.dataset-path", str, "", "a merged folder, or a Hugging Face dataset's id or folder"),
    Flag("preprocess.dataset-type", str, "hf", "which of the two it is", ("hf", "merged")),
    Flag("preprocess.dataset-output-dir", str, "./output", "the run folder; combined_parquet_dataset/ appears there"),
    Flag("preprocess.dataloader-num-workers", int, 1, "clips read ahead of the encoder"),
    Flag("preprocess.preprocess-video-batch-size", int, 2, "clips encoded at once"),
    Flag("preprocess.samples-per-file", int, 64, "rows of a Parquet file"),
    Flag("preprocess.flush-frequency", int, 256, "clips after which what waits is written"),
    Flag("preprocess.video-loader-type", str, "torchcodec", "what decodes", ("torchcodec", "torchvision")),
    Flag("preprocess.max-height", int, 480, "the height, in pixels"),
    Flag("preprocess.max-width", int, 848, "the width, in pixels"),
    Flag("preprocess.num-frames", int, 163, "frames of each clip"),
    Flag("preprocess.video-length-tolerance-range", float, 2.0, "leave out videos so many times as long as needed"),
    Flag("preprocess.train-fps", int, 30, "frames per second that clips are resampled to"),
    Flag("preprocess.speed-factor", float, 1.0, "2 takes frames twice as far apart"),
    Flag("preprocess.drop-short-ratio", float, 1.0, "share of too short videos that is left out"),
    Flag("preprocess.do-temporal-sample", yes_or_no, False, "take a random part of a long video, not its beginning"),
    Flag("preprocess.training-cfg-rate", float, 0.0, "share of captions replaced for good by an empty one"),
    Flag("preprocess.with-audio", yes_or_no, False, "no effect: these models have no sound"),
    Flag("preprocess.seed", int, 42, "of all that is chosen at random"),
    Flag("preprocess.parity", str, "none", "take exactly FastVideo's frames and pixels", ("none", "fastvideo")),
)


def asked_by(arguments: Sequence[str]) -> Asked:
    """Understand FastVideo's command, its flags spelled with dashes or underscores; a mistake leaves as in argparse."""
    parser = flag_parser()
    values, nothing = values_and_rest(parser, arguments)
    if not values["preprocess.dataset-path"]:
        parser.error("--preprocess.dataset-path is missing; give a folder or a Hugging Face dataset's id")
    if not _model(values):
        parser.error("--model-path is missing; give a folder or a Hugging Face id")
    frames, notices = _frames_that_fit(values)
    return Asked(
        folder=RunFolder(Path(values["preprocess.dataset-output-dir"])),
        kind="preprocess",
        given=_settings(values, frames),
        notices=[*notices, *_notices(values, nothing)],
        command=["-m", _PROGRAM, *arguments],
    )


def flag_parser() -> argparse.ArgumentParser:
    """Make the parser of the flags with their defaults; it knows them by dashes."""
    told = "FastVideo's preprocessing command; torchrun shares the clips out over its processes."
    return parser_of(_PROGRAM, told, FLAGS)


def _settings(values: dict[str, Any], frames: int) -> dict[str, Any]:
    def of(name: str) -> Any:
        return values[f"preprocess.{name}"]

    return {
        "model": _model(values),
        "workload": values["workload-type"],
        "source": {"type": of("dataset-type"), "path": of("dataset-path")},
        "height": of("max-height"),
        "width": of("max-width"),
        "frames": frames,
        "fps": of("train-fps"),
        "parity": of("parity"),
        "seed": of("seed"),
        "max_bad_share": values["max-bad-share"],
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
        "selection": {
            "long_clips": "random" if of("do-temporal-sample") else "head",
            "longest": of("video-length-tolerance-range"),
            "drop_short_ratio": of("drop-short-ratio"),
            "speed_factor": of("speed-factor"),
        },
        # FastVideo draws one of several captions, and holds out the split called validation.
        "captions": {"choice": "random", "training_cfg_rate": of("training-cfg-rate")},
        "held_out": {"split": AUTOMATIC if of("dataset-type") == "hf" else None},
        "decoding": {
            "decoder": "pyav" if of("video-loader-type") == "torchvision" else "torchcodec",
            "workers": of("dataloader-num-workers"),
        },
        "encoding": {
            "vae_precision": _precision(values["vae-precision"]),
            "text_precision": _precision(values["text-encoder-precisions"]),
            "batch_size": of("preprocess-video-batch-size"),
        },
        "output": {"samples_per_file": of("samples-per-file"), "flush_frequency": of("flush-frequency")},
    }


def _model(values: dict[str, Any]) -> str:
    return str(values["preprocess.model-path"] or values["model-path"])


def _precision(name: str) -> str:
    return "float32" if name == "fp32" else "bfloat16"


def _frames_that_fit(values: dict[str, Any]) -> tuple[int, list[str]]:
    """Cut the frames to what the family's VAE keeps of them: FastVideo's own default is two frames too many."""
    asked = values["preprocess.num-frames"]
    try:
        stride = family_of(_model(values)).frame_stride
    except ModelError:  # which the engine says when it comes to the model
        return asked, []
    fitting = (asked - 1) // stride * stride + 1
    if fitting == asked:
        return asked, []
    return fitting, [f"Of {asked} frames the VAE keeps {fitting} ({stride}k+1), so {fitting} are taken."]


def _notices(values: dict[str, Any], without_effect: Sequence[str]) -> list[str]:
    found = []
    if values["preprocess.video-loader-type"] == "torchvision":
        found.append("torchvision no longer reads video: `torchvision` means PyAV here, which gives the same frames.")
    if "fp16" in (values["vae-precision"], values["text-encoder-precisions"]):
        found.append("fp16 overflows in these models: bf16, which takes the same memory, is used instead.")
    if values["preprocess.with-audio"]:
        found.append("--preprocess.with-audio has no effect: these models have no sound.")
    return found + told_without_effect(without_effect, "preprocessing")
