"""Measure training steps: ours and a plain loop over diffusers and peft, on the same batch in one run."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles

import torch

from fastvideo_engine.bench.gate import Gate
from fastvideo_engine.bench.peak import matmul_peak
from fastvideo_engine.bench.random_wan import SUBJECTS, grid_of, random_batch, write_transformer
from fastvideo_engine.bench.report import machine, print_table
from fastvideo_engine.bench.turns import Entry, Spent, entered, take_turns
from fastvideo_engine.bench.variants import TUNINGS, variants
from fastvideo_engine.components import part_config, weights_dtype
from fastvideo_engine.errors import EngineError, SpecError
from fastvideo_engine.families.wan import WAN
from fastvideo_engine.memory import full_memory_in_words
from fastvideo_engine.run_folder import write_whole
from fastvideo_engine.training.costs import needed_operations


@dataclass(frozen=True)
class Setting:
    """What is trained, on a clip of which size, with a caption of how many tokens."""

    model: str
    frames: int
    height: int
    width: int
    caption: int

    def __str__(self) -> str:
        return f"{self.model}, {self.frames} frames of {self.width}x{self.height}, a caption of {self.caption} tokens"


@dataclass(frozen=True)
class Figures:
    """What a step of one variant takes: medians over all its steps, and over the rounds how often it fits the plain."""

    variant: str
    seconds: float
    quartiles_apart: float
    times_plain: float
    tokens_per_second: float
    mfu: float
    """The share of the machine's matrix products; what is computed twice to save memory does not count."""
    peak_mib: float
    attention: str


@dataclass(frozen=True)
class Measured:
    """All there is to say of one variant; figures only where it computes what the plain one does."""

    variant: str
    gate: Gate
    problem: str | None
    figures: Figures | None
    rounds: Sequence[Sequence[float]]
    """Seconds of each step in each round."""


def run(
    model: str | None,
    frames: int | None,
    height: int | None,
    width: int | None,
    caption: int,
    only: str | None,
    rounds: int,
    out: Path | None,
) -> None:
    """Train a model of random weights in ways that take turns in random order; print a table, write JSON.

    Raises `EngineError` in the end where some way does not compute what the plain one does: it gets no figures.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = model or ("wan-1.3b" if device.type == "cuda" else "tiny-wan")
    subject = SUBJECTS[model]
    setting = Setting(model, frames or subject.frames, height or subject.height, width or subject.width, caption)
    _check(setting)
    dtype = weights_dtype(device)
    with full_memory_in_words("ask for fewer frames or a smaller size"), _one_thread_on_cpu(device):
        peak = matmul_peak(device, dtype)
        measured = list(_measured(setting, [only] if only else [*TUNINGS], rounds, device, peak))
    on = "a GPU" if device.type == "cuda" else "one core of a CPU, in its own time"
    print(f"\n{setting}; on {on}.")
    print(f"Matrix products in {str(dtype).removeprefix('torch.')} reach {peak / 1e12:.3g} TFLOP/s.\n")
    print_table([asdict(each.figures) for each in measured if each.figures])
    if out:
        content = {
            "setting": asdict(setting),
            "machine": machine(),
            "matmul_peak": peak,
            "train": [asdict(each) for each in measured],
        }
        write_whole(out, json.dumps(content, indent=1).encode())
    problems = [f"{each.variant} gets no figures: {each.problem}" for each in measured if each.problem]
    if problems:
        raise EngineError("; ".join(problems) + ".")


def _measured(
    setting: Setting, methods: Sequence[str], rounds: int, device: torch.device, peak: float
) -> Iterator[Measured]:
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        folder = Path(scratch)
        write_transformer(SUBJECTS[setting.model].config, folder, device)
        config = part_config(folder, "transformer")
        grid = grid_of(config, setting.frames, setting.height, setting.width)
        batch = random_batch(config, grid, setting.caption, device)
        for method in methods:  # one after the other: together they would take twice the memory while they wait
            entries = list(entered(variants(method, grid, setting.caption, device), folder, batch, device))
            spent = take_turns([entry for entry in entries if entry.problem is None], batch, device, rounds)
            for entry in entries:
                figures = None
                if entry.problem is None:
                    figures = _summed_up(entry, spent, needed_operations(config, entry.variant.work) / peak)
                yield Measured(
                    entry.variant.name, entry.gate, entry.problem, figures, spent.get(entry.variant.name, [])
                )


def _summed_up(entry: Entry, spent: Spent, seconds_at_peak: float) -> Figures:
    variant = entry.variant
    turns, plain = spent[variant.name], spent[variant.plain]
    steps = [seconds for turn in turns for seconds in turn]
    seconds = median(steps)
    lower, _, upper = quantiles(steps)
    return Figures(
        variant=variant.name,
        seconds=seconds,
        quartiles_apart=upper - lower,
        times_plain=median(median(theirs) / median(mine) for theirs, mine in zip(plain, turns, strict=True)),
        tokens_per_second=variant.work.tokens / seconds,
        mfu=seconds_at_peak / seconds,
        peak_mib=entry.watched.peak_bytes / 2**20,
        attention=entry.watched.attention,
    )


def _check(setting: Setting) -> None:
    problems = WAN.problems(setting.height, setting.width, setting.frames)
    if problems:
        raise SpecError(" ".join(problems.values()))
    if setting.caption > WAN.text_length:
        raise SpecError(f"A caption has at most {WAN.text_length} tokens, not {setting.caption}.")


@contextmanager
def _one_thread_on_cpu(device: torch.device) -> Iterator[None]:
    """Compute on one core: the time of several threads together tells neither how long they take nor how much."""
    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
