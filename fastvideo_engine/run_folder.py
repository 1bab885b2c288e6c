"""The one place that knows what the files of a run are called."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_STEP_NAME = "step-{:06d}"
Wish = Literal["save", "sample"]
"""What someone may want of a training at once, beside that it stops."""


@dataclass(frozen=True)
class RunFolder:
    """Where a job's files are: `spec.yaml` goes in; events, log, checkpoints, samples and Parquet come out."""

    path: Path

    @property
    def spec(self) -> Path:
        return self.path / "spec.yaml"

    @property
    def manifest(self) -> Path:
        """The clips and captions as they were when the job was asked for, a JSON object a line."""
        return self.path / "manifest.jsonl"

    @property
    def events(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def ledger(self) -> Path:
        """One file per process: what became of each clip, so that a restart repeats none."""
        return self.path / "ledger"

    @property
    def parquet(self) -> Path:
        return self.path / "combined_parquet_dataset"

    @property
    def validation_parquet(self) -> Path:
        """The clips that were held out of training."""
        return self.path / "validation_parquet_dataset"

    @property
    def empty_prompt(self) -> Path:
        """The embedding of the empty caption, which training puts in place of captions that it drops."""
        return self.path / "empty_prompt.safetensors"

    @property
    def clips(self) -> Path:
        """Clips fetched from elsewhere by an import."""
        return self.path / "clips"

    @property
    def fetched(self) -> Path:
        """Videos of a dataset elsewhere, each for as long as it is read."""
        return self.path / ".fetched"

    @property
    def samples(self) -> Path:
        return self.path / "samples"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def edited_validation(self) -> Path:
        """What to sample from the next validation on in place of the spec's prompts, laid out as FastVideo's file."""
        return self.path / "validation.json"

    @property
    def _stop_wish(self) -> Path:
        return self.path / "stop"

    def relative(self, path: Path) -> str:
        """Name a file of this folder the way events and rows do."""
        return path.relative_to(self.path).as_posix()

    def ask_to_stop(self) -> None:
        """Leave the wish that the engine looks for at each step."""
        self._stop_wish.touch()

    def stop_was_asked(self) -> bool:
        return self._stop_wish.exists()

    def forget_stop(self) -> None:
        """Take the wish back, before the same run goes on."""
        self._stop_wish.unlink(missing_ok=True)

    def ask_for(self, wish: Wish) -> None:
        """Leave a wish that training looks for at each step."""
        self._wish(wish).touch()

    def is_asked_for(self, wish: Wish) -> bool:
        return self._wish(wish).exists()

    def grant(self, wish: Wish) -> None:
        """Take a wish away, before it is done: one that comes meanwhile is another."""
        self._wish(wish).unlink(missing_ok=True)

    def _wish(self, wish: Wish) -> Path:
        return self.path / f"{wish}-now"

    def checkpoint(self, step: int) -> "Checkpoint":
        return Checkpoint(self.checkpoints / _STEP_NAME.format(step))

    def complete_checkpoints(self) -> list["Checkpoint"]:
        """List the checkpoints that were written to their end, oldest first."""
        if not self.checkpoints.is_dir():
            return []
        found = [Checkpoint(folder) for folder in sorted(self.checkpoints.glob(_STEP_NAME.format(0)[:5] + "*"))]
        return [checkpoint for checkpoint in found if checkpoint.is_complete]

    def newest_checkpoint(self) -> "Checkpoint | None":
        return next(reversed(self.complete_checkpoints()), None)

    def sample(self, step: int, prompt_number: int, seed: int | None = None, strength: float | None = None) -> Path:
        """Name the video of one prompt at one step, and of a seed or strength where there are several of them.

        Prompts count from 0.
        """
        of_seed = "" if seed is None else f"-seed-{seed}"
        of_strength = "" if strength is None else f"-strength-{strength}"
        return self.samples / _STEP_NAME.format(step) / f"prompt-{prompt_number:02d}{of_seed}{of_strength}.mp4"


@dataclass(frozen=True)
class Checkpoint:
    """Weights and training state of one step, in a folder that counts only once `complete.json` is in it."""

    path: Path

    @property
    def step(self) -> int:
        return int(self.path.name.removeprefix("step-"))

    @property
    def adapter(self) -> Path:
        """The LoRA in the naming that diffusers, FastVideo and ComfyUI read."""
        return self.path / "adapter.safetensors"

    def expert_adapter(self, expert: str) -> Path:
        """The LoRA of one of two experts; their folder can be given wherever an adapter is asked for."""
        return self.path / "adapter" / f"{expert}.safetensors"

    def transformer(self, part: str) -> Path:
        """A whole transformer in the diffusers format, to take the place of that part of the base model."""
        return self.path / part

    @property
    def training_state(self) -> Path:
        return self.path / "training_state.pt"

    @property
    def training_shards(self) -> Path:
        """Of sharded weights, what the processes wrote side by side in place of most of the training state."""
        return self.path / "training_shards"

    @property
    def completion(self) -> Path:
        return self.path / "complete.json"

    @property
    def is_complete(self) -> bool:
        return self.completion.exists()


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file beside its name and rename it, so that it is never seen half-written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if isinstance(content, str):
            beside.write_text(content, encoding="utf-8")
        else:
            beside.write_bytes(content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def forget_folder(folder: Path) -> None:
    """Remove a folder under another name first, so that a reader never takes half of it for whole."""
    if folder.exists():
        doomed = folder.with_name(f".{folder.name}.{os.getpid()}.gone")
        folder.replace(doomed)
        shutil.rmtree(doomed)
