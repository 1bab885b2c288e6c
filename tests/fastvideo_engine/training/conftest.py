"""What the training tests share: a spec for the small model, adapters on it, and runs of two processes."""

import os
import socket
import subprocess
import sys
from functools import partial

import pytest
import torch
from diffusers import WanTransformer3DModel

from fastvideo_engine.families import FAMILIES
from fastvideo_engine.run_folder import RunFolder
from fastvideo_engine.specs import Lora, Optimizer, Saving, TrainSpec
from fastvideo_engine.training.lora import adapter_weights, add_adapter

_TRAIN = """
import sys
from pathlib import Path
from fastvideo_engine.run_folder import RunFolder
from fastvideo_engine.specs import TrainSpec
from fastvideo_engine.training.loop import run
run(TrainSpec.model_validate_json(sys.argv[1]), RunFolder(Path(sys.argv[2])))
"""


@pytest.fixture
def train_spec(tiny_wan, fastvideo_fixtures):
    """Make a spec that trains the small model quickly, with some fields changed."""

    def make(**changes) -> TrainSpec:
        settings = {
            "model": str(tiny_wan),
            "parquet": str(fastvideo_fixtures / "t2v"),
            "steps": 4,
            "tuning": Lora(rank=4, alpha=8),
            "optimizer": Optimizer(learning_rate=1e-2, warmup_steps=2),
            "saving": Saving(every=100),
        }
        return TrainSpec(**settings | changes)

    return make


@pytest.fixture
def adapted_wan(tiny_wan):
    """Load the small transformer, ready to sample, with adapters that change its output."""

    def make(rank=4, alpha=8.0, dtype=torch.float32, **more):
        transformer = WanTransformer3DModel.from_pretrained(tiny_wan / "transformer", torch_dtype=dtype)
        transformer.requires_grad_(False)
        add_adapter(transformer, FAMILIES[0], Lora(rank=rank, alpha=alpha, **more), seed=1)
        generator = torch.Generator().manual_seed(2)
        for name, weight in adapter_weights(transformer).items():
            if name.endswith("B"):
                weight.data.copy_(torch.randn(weight.shape, generator=generator))
        return transformer.eval()

    return make


@pytest.fixture
def velocity():
    """Ask a transformer for the velocity at one fixed point."""

    @torch.no_grad()
    def predict(transformer) -> torch.Tensor:
        generator = torch.Generator().manual_seed(3)
        latents = torch.randn(1, 16, 2, 8, 12, generator=generator).to(transformer.dtype)
        text = torch.randn(1, 512, 32, generator=generator).to(transformer.dtype)
        return transformer(latents, torch.tensor([700.0]), text, return_dict=False)[0].float()

    return predict


@pytest.fixture
def start_processes():
    """Start Python code in real processes that talk over gloo, each with the environment that torchrun gives."""

    def start(count: int, code: str, *arguments: str) -> list[subprocess.Popen[bytes]]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
        return [
            subprocess.Popen(
                [sys.executable, "-c", code, *arguments],
                env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            )
            for rank in range(count)
        ]

    return start


@pytest.fixture
def start_training(start_processes):
    """Start a training in several processes."""

    def start(count: int, spec: TrainSpec, folder: RunFolder) -> list[subprocess.Popen[bytes]]:
        return start_processes(count, _TRAIN, spec.model_dump_json(), str(folder.path))

    return start


@pytest.fixture
def train_in_processes(start_training):
    """Run a training in several processes to its end."""

    def run(count: int, spec: TrainSpec, folder: RunFolder) -> None:
        assert [process.wait(timeout=240) for process in start_training(count, spec, folder)] == [0] * count

    return run


@pytest.fixture
def train_in_two_processes(train_in_processes):
    """Run a training in two processes to its end."""
    return partial(train_in_processes, 2)
