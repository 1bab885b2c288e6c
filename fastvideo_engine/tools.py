"""The engine's commands that are no jobs: they have no run folder and report to their terminal alone."""

import argparse
from pathlib import Path
from typing import Any

TOOLS = (
    "small-model",
    "sample-data",
    "train-vae",
    "tiny-wan",
    "inspect",
    "export",
    "merge",
    "extract",
    "bench",
)

_BENCH_SIZES = (
    ("clips", 64, "clips to generate and preprocess"),
    ("height", 480, "their height"),
    ("width", 832, "their width"),
    ("frames", 17, "frames taken of each"),
    ("rounds", 4, "rounds to share the clips out over"),
    ("rows", 64, "rows of Parquet, each of a clip of 77 frames, to time reading with"),
)

Commands = Any
"""What `argparse.ArgumentParser.add_subparsers` returns, which has no public name."""


def add_tools(commands: Commands) -> None:
    """Declare every tool; each names the module whose `run` takes its arguments."""
    _add_sample_data_and_models(commands)
    _add_inspect(commands)
    _add_adapter_tools(commands)
    _add_bench(commands)


def _add_sample_data_and_models(commands: Commands) -> None:
    small = _tool(
        commands, "small-model", "fastvideo_engine.small_model", "Write a small model with random weights, to try with."
    )
    small.add_argument("folder", metavar="DIR", type=Path, help="where to write it")
    sample = _tool(
        commands,
        "sample-data",
        "fastvideo_engine.world.dataset",
        "Write clips of moving shapes, or of an effect, with captions, as a merged folder.",
    )
    sample.add_argument("--effect", choices=["crush", "melt", "swell"], help="without one, the shapes move")
    sample.add_argument("--clips", metavar="N", type=count, default=24, help="how many; 24 by default")
    sample.add_argument("--frames", metavar="N", type=count, default=17, help="of each clip; 17 by default")
    sample.add_argument("--seed", metavar="N", type=int, default=1, help="the same seed draws the same clips")
    sample.add_argument("--out", metavar="DIR", type=Path, required=True, help="where to write them")
    vae = _tool(commands, "train-vae", "fastvideo_engine.training.vae", "Train a small VAE on the sample clips' world.")
    vae.add_argument("recipe", metavar="RECIPE.yaml", type=Path, help="its size and the stages of its training")
    vae.add_argument("--out", metavar="DIR", type=Path, required=True, help="vae/ goes there, or goes on")
    tiny = _tool(
        commands, "tiny-wan", "fastvideo_engine.tiny_wan", "Put the bundled model together from what was trained."
    )
    tiny.add_argument("--vae", metavar="DIR", type=Path, help="write a text-to-video model around it, to be trained")
    tiny.add_argument("--widen", metavar="MODEL", type=Path, help="write an image-to-video model that begins as this")
    tiny.add_argument("--start", metavar="MODEL", type=Path, help="write this model with another transformer ...")
    tiny.add_argument("--transformer", metavar="DIR", type=Path, help="... namely this")
    tiny.add_argument("--out", metavar="DIR", type=Path, required=True, help="where to write the model")


def _add_inspect(commands: Commands) -> None:
    inspect = _tool(
        commands, "inspect", "fastvideo_engine.data.inspect", "Show what Parquet of preprocessed clips holds."
    )
    inspect.add_argument("parquet", metavar="PARQUET", type=Path, help="a Parquet file, or a folder of them")
    inspect.add_argument("--decode", metavar="N", type=int, default=0, help="decode so many rows back to mp4")
    inspect.add_argument("--output", metavar="DIR", type=Path, default=Path("inspected"), help="where these go")
    inspect.add_argument("--model", metavar="MODEL", help="whose VAE decodes; without it, the one that the rows name")


def _add_adapter_tools(commands: Commands) -> None:
    """Declare the tools that turn adapters into other files, into models, and models into adapters."""
    export = _tool(
        commands, "export", "fastvideo_engine.adapters.export", "Write an adapter of any tool in the format of another."
    )
    _add_adapter(export)
    export.add_argument(
        "--format",
        dest="form",
        choices=["universal", "diffusers", "fastvideo", "comfyui"],
        default="universal",
        help="whose reader it is for; universal, the default, is read by all three",
    )
    export.add_argument("--alpha", metavar="A", type=float, help="of a file that does not say its alpha itself")
    export.add_argument("--out", metavar="FILE", type=Path, required=True, help="where to write it")
    merge = _tool(commands, "merge", "fastvideo_engine.adapters.merge", "Merge an adapter into a base model.")
    merge.add_argument("--model", metavar="MODEL", required=True, help="a Hugging Face id, or a folder")
    _add_adapter(merge)
    merge.add_argument("--strength", metavar="S", type=float, default=1.0, help="1, the default, is as trained")
    merge.add_argument("--out", metavar="DIR", type=Path, required=True, help="where to write the new model")
    extract = _tool(
        commands, "extract", "fastvideo_engine.adapters.extract", "Extract an adapter from a finetuned model."
    )
    extract.add_argument("--base", metavar="MODEL", required=True, help="what it was finetuned from")
    extract.add_argument("--finetuned", metavar="MODEL", required=True, help="a model, or its transformer/ alone")
    extract.add_argument("--rank", metavar="R", type=count, required=True, help="size of the adapter; more keeps more")
    extract.add_argument("--out", metavar="FILE", type=Path, required=True, help="where to write the adapter")


def _add_adapter(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--adapter", metavar="FILE", type=Path, required=True, help="a LoRA of any tool, or the folder it is in"
    )


def _add_bench(commands: Commands) -> None:
    bench = commands.add_parser("bench", description="Measure speed against a plain loop, or what a model has learnt.")
    subjects = bench.add_subparsers(dest="what", required=True)
    preprocess = _tool(
        subjects, "preprocess", "fastvideo_engine.bench.preprocess", "Preprocess generated clips, as fast as may be."
    )
    for name, default, text in _BENCH_SIZES:
        preprocess.add_argument(
            f"--{name}", metavar="N", type=count, default=default, help=f"{text}; {default} by default"
        )
    preprocess.add_argument("--out", metavar="FILE.json", type=Path, help="where to write all figures")
    _add_bench_train(subjects)
    attention = _tool(
        subjects,
        "attention",
        "fastvideo_engine.bench.attention",
        "Attend sparsely and densely, at a real model's size on a GPU.",
    )
    attention.add_argument("--rounds", metavar="N", type=count, default=5, help="turns of each way; 5 by default")
    attention.add_argument("--out", metavar="FILE.json", type=Path, help="where to write all figures")
    tiny = _tool(
        subjects,
        "tiny-wan",
        "fastvideo_engine.bench.tiny_wan",
        "Measure what the bundled model can do, and a LoRA on it.",
    )
    tiny.add_argument("--model", metavar="DIR", type=Path, help="text to video; the bundled one by default")
    tiny.add_argument("--image-model", metavar="DIR", type=Path, help="image to video; the bundled one by default")
    tiny.add_argument("--only", choices=["vae", "text", "image", "lora"], help="measure only this")
    tiny.add_argument("--out", metavar="FILE.json", type=Path, help="where to write all figures")


def _add_bench_train(subjects: Commands) -> None:
    train = _tool(subjects, "train", "fastvideo_engine.bench.train", "Train random weights, as fast as may be.")
    train.add_argument("--model", choices=["tiny-wan", "wan-1.3b"], help="by default wan-1.3b where there is a GPU")
    for name in ("frames", "height", "width"):
        train.add_argument(f"--{name}", metavar="N", type=count, help="of the clip; by default what the model is for")
    train.add_argument(
        "--caption", metavar="N", type=count, default=24, help="tokens of the caption, beside padding; 24 by default"
    )
    train.add_argument("--only", choices=["lora", "full"], help="train only this way")
    train.add_argument("--rounds", metavar="N", type=count, default=8, help="turns of each variant; 8 by default")
    train.add_argument("--out", metavar="FILE.json", type=Path, help="where to write all figures")


def _tool(commands: Commands, name: str, runner: str, description: str) -> argparse.ArgumentParser:
    tool: argparse.ArgumentParser = commands.add_parser(name, description=description)
    tool.set_defaults(runner=runner)
    return tool


def count(typed: str) -> int:
    """Read a number of at least 1."""
    number = int(typed)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{typed} is less than 1")
    return number
