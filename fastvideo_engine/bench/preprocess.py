"""Measure preprocessing: ours, ours without reading ahead, and a plain loop, on the same clips in one run."""

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from fastvideo_engine.bench.clips import make_clips, write_manifest
from fastvideo_engine.bench.one_run import FIGURES, RUNNERS
from fastvideo_engine.bench.reading import measured_reads
from fastvideo_engine.bench.report import machine, print_table
from fastvideo_engine.data.parquet import rows_of, tensor_of
from fastvideo_engine.errors import EngineError
from fastvideo_engine.run_folder import RunFolder, write_whole
from fastvideo_engine.small_model import build
from fastvideo_engine.specs import Manifest, PreprocessSpec
from fastvideo_engine.specs.preprocess import Decoding

_PLAIN = "plain"
_NOTHING_AHEAD = "ours, nothing ahead"
_STAGES = ("read", "encode", "write", "wait")
_FPS = 16
# The plain loop resizes in float32 and ours in integers: pixels differ by one level here and there, latents by this.
_LATENTS_MAY_DIFFER = 0.01

_Run = dict[str, Any]
"""What one run wrote down of itself, and how many clips it had."""


@dataclass(frozen=True)
class Figures:
    """What one variant took: medians over the rounds, seconds in all and of its stages, and the most memory it had."""

    variant: str
    clips_per_second: float
    times_plain: float
    seconds: float
    cpu_seconds: float
    read: float
    encode: float
    write: float
    wait: float
    peak_mib: float


def run(clips: int, height: int, width: int, frames: int, rounds: int, rows: int, out: Path | None) -> None:
    """Generate clips, preprocess them in rounds of random order, time training reads; print tables, write JSON."""
    rounds = min(rounds, clips)
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        folder = Path(scratch)
        print(f"Generating {clips} clips of {width}x{height}", flush=True)
        listed = make_clips(folder / "clips", clips, height, width, frames / _FPS)
        build(folder / "model")
        measured = _rounds(folder, listed, _spec(folder, height, width, frames), rounds)
        difference = _largest_difference(folder, rounds)
        figures = [_summed_up(variant, measured) for variant in RUNNERS]
        print(f"Timing reads of {rows} rows", flush=True)
        reads = measured_reads(rows, folder)
    print_table([asdict(each) for each in figures])
    print(f"Latents differ from the plain loop's by at most {difference:.2g} of their deviation.\n")
    print_table(reads)
    if out:
        setting = {"clips": clips, "height": height, "width": width, "frames": frames, "rounds": rounds, "rows": rows}
        content = {
            "setting": setting,
            "machine": machine(),
            "preprocess": [asdict(each) for each in figures],
            "latent_difference": difference,
            "rounds": measured,
            "reads": reads,
        }
        write_whole(out, json.dumps(content, indent=1).encode())


def _spec(folder: Path, height: int, width: int, frames: int) -> PreprocessSpec:
    return PreprocessSpec(
        model=str(folder / "model"),
        source=Manifest(path=str(folder)),  # each round's own takes its place
        height=height,
        width=width,
        frames=frames,
        fps=_FPS,
        parity="fastvideo",  # the plain loop's frames and pixels, so that its latents can be compared
    )


def _rounds(folder: Path, listed: Sequence[dict[str, str]], spec: PreprocessSpec, rounds: int) -> dict[str, list[_Run]]:
    measured: dict[str, list[_Run]] = {variant: [] for variant in RUNNERS}
    order = random.Random(7)
    for number in range(rounds):
        clips = listed[number::rounds]
        manifest = write_manifest(folder / f"round_{number}.jsonl", clips)
        for variant in order.sample(list(RUNNERS), len(RUNNERS)):
            figures = _one_run(_run_folder(folder, variant, number), variant, spec, manifest)
            measured[variant].append({**figures, "clips": len(clips)})
            print(f"Round {number + 1} of {rounds}: {variant}: {figures['seconds']:.1f} s", flush=True)
    return measured


def _run_folder(folder: Path, variant: str, number: int) -> RunFolder:
    return RunFolder(folder / f"{variant.replace(', ', '_').replace(' ', '_')}_{number}")


def _one_run(folder: RunFolder, variant: str, spec: PreprocessSpec, manifest: Path) -> _Run:
    workers = 0 if variant == _NOTHING_AHEAD else spec.decoding.workers
    changes = {"source": Manifest(path=str(manifest)), "decoding": Decoding(workers=workers)}
    folder.path.mkdir()
    write_whole(folder.spec, spec.model_copy(update=changes).to_yaml())
    command = [sys.executable, "-m", "fastvideo_engine.bench.one_run", variant, str(folder.path)]
    # Threads that wait by spinning take the processor from others on a busy machine; a process with more pools of
    # threads spins less, so that reading ahead, which has its own, would look faster than it is.
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise EngineError(f"The bench's run of {variant} failed; here is its end:\n{done.stderr[-2000:]}")
    figures: _Run = json.loads((folder.path / FIGURES).read_text(encoding="utf-8"))
    return figures


def _largest_difference(folder: Path, rounds: int) -> float:
    """Compare our latents with the plain loop's; raise `EngineError` when they are not the same."""
    differences = [0.0]
    for number in range(rounds):
        plain = _latents(_run_folder(folder, _PLAIN, number))
        for variant in RUNNERS:
            ours = _latents(_run_folder(folder, variant, number))
            if ours.keys() != plain.keys():
                raise EngineError(f"{variant} gave other clips than the plain loop: its time means nothing.")
            differences += [float(np.abs(ours[clip] - plain[clip]).mean() / plain[clip].std()) for clip in plain]
    if max(differences) > _LATENTS_MAY_DIFFER:
        raise EngineError(f"Latents differ by {max(differences):.2g} of their deviation: the times mean nothing.")
    return max(differences)


def _latents(folder: RunFolder) -> dict[str, np.ndarray]:
    return {
        row["id"]: tensor_of(file, number, "vae_latent")
        for file in folder.parquet.rglob("*.parquet")
        for number, row in enumerate(rows_of(file, ["id"]))
    }


def _summed_up(variant: str, measured: dict[str, list[_Run]]) -> Figures:
    runs, plain = measured[variant], measured[_PLAIN]
    stages = {stage: sum(run["stages"].get(stage, 0.0) for run in runs) for stage in _STAGES}
    return Figures(
        variant=variant,
        clips_per_second=median(run["clips"] / run["seconds"] for run in runs),
        times_plain=median(other["seconds"] / run["seconds"] for run, other in zip(runs, plain, strict=True)),
        seconds=sum(run["seconds"] for run in runs),
        # Other processes of the machine lengthen the one and hardly the other.
        cpu_seconds=sum(run["cpu_seconds"] for run in runs),
        peak_mib=max(run["peak_mib"] for run in runs),
        **stages,
    )
