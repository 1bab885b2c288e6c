"""Processes that work together: one alone is an ordinary case, and two agree on answers and gradients."""

import json
import os
import socket
import subprocess
import sys

import pytest
import torch

from fastvideo_engine.distributed import Ranks, join_processes

_TALK = """
import json, sys, torch
from fastvideo_engine.distributed import join_processes
from fastvideo_engine.specs import Optimizer
from fastvideo_engine.training.optimizer import new_adamw, take_step
ranks = join_processes()
weights = [torch.nn.Parameter(torch.zeros(shape)) for shape in ((2, 2), (3,), (1,))]
weights[0].grad = torch.full((2, 2), 1.0 + ranks.rank)
weights[1].grad = torch.arange(3.0) * (ranks.rank * 2)
ranks.average_gradients(weights)
ranks.barrier()
trained = torch.nn.Parameter(torch.zeros(1000))
adamw, noise = new_adamw([trained], Optimizer()), torch.Generator().manual_seed(ranks.rank)
for _ in range(3):
    trained.grad = torch.randn(1000, generator=noise)
    take_step(adamw, 1e-3, 1.0, ranks)
said = {
    "first": ranks.is_first,
    "gradients": [weights[0].grad.tolist(), weights[1].grad.tolist(), weights[2].grad],
    "agreed": [ranks.agree(ranks.is_first), ranks.agree(not ranks.is_first)],
    "trained": trained.tolist(),
    "mean": ranks.average(torch.tensor(float(ranks.rank))).item(),
}
open(sys.argv[1] + f"/{ranks.rank}.json", "w").write(json.dumps(said))
ranks.leave()
"""


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """What each of two talking processes ended up with."""
    folder = tmp_path_factory.mktemp("talk")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    command = [sys.executable, "-c", _TALK, str(folder)]
    started = [subprocess.Popen(command, env=os.environ | shared | {"RANK": str(rank)}) for rank in range(2)]
    assert [process.wait(timeout=120) for process in started] == [0, 0]
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def test_gradients_become_their_mean_in_every_process(two_processes):
    for said in two_processes:
        assert said["gradients"] == [[[1.5, 1.5], [1.5, 1.5]], [0, 1, 2], None]


def test_every_process_gets_the_first_ones_answer(two_processes):
    assert [said["agreed"] for said in two_processes] == [[True, False], [True, False]]
    assert [said["first"] for said in two_processes] == [True, False]


def test_every_process_ends_up_with_the_same_weights(two_processes):
    ours, theirs = (said["trained"] for said in two_processes)
    assert ours == theirs
    assert min(map(abs, ours)) > 0


def test_numbers_are_averaged(two_processes):
    assert [said["mean"] for said in two_processes] == [0.5, 0.5]


def test_one_process_alone_is_first_and_agrees_with_itself():
    ranks = join_processes()
    weight = torch.nn.Parameter(torch.zeros(2))
    weight.grad = torch.ones(2)
    ranks.average_gradients([weight])
    ranks.barrier()
    assert ranks == Ranks(0, 1, ranks.device)
    assert (ranks.is_first, ranks.agree(True), ranks.agree(False)) == (True, True, False)
    assert weight.grad.tolist() == [1, 1]
    ranks.leave()
