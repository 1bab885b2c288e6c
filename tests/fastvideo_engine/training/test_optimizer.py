"""AdamW's schedule, bound and step, against plain torch."""

import pytest
import torch

from fastvideo_engine.distributed import Ranks
from fastvideo_engine.specs import Optimizer
from fastvideo_engine.training.optimizer import learning_rate_at, new_adamw, take_step

ALONE = Ranks(0, 1, torch.device("cpu"))


def test_the_rate_rises_over_the_warm_up_and_then_stays():
    settings = Optimizer(learning_rate=1.0, warmup_steps=4)
    assert [learning_rate_at(step, settings, 6) for step in range(1, 7)] == [0.25, 0.5, 0.75, 1, 1, 1]
    assert learning_rate_at(1, Optimizer(learning_rate=1.0, warmup_steps=0), 6) == 1


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [("linear", [0.5, 1, 1, 0.8, 0.6, 0.4]), ("cosine", [0.5, 1, 1, 0.2 + 0.8 * 0.5 * (1 + 2**-0.5), 0.6])],
)
def test_the_rate_falls_towards_its_final_fraction(schedule, rates):
    settings = Optimizer(learning_rate=0.5, warmup_steps=2, schedule=schedule, final_fraction=0.2)
    found = [learning_rate_at(step, settings, 6) / 0.5 for step in range(1, len(rates) + 1)]
    assert found == pytest.approx(rates)


@pytest.mark.parametrize(("length", "scaled_to"), [(10.0, 1.0), (0.5, 0.5)])
def test_only_long_gradients_are_scaled_and_the_true_norm_is_told(length, scaled_to):
    settings = Optimizer(learning_rate=0.1, weight_decay=0.01, beta1=0.8, beta2=0.9, epsilon=1e-3)
    ours, theirs = (torch.nn.Parameter(torch.tensor([1.0, -2.0])) for _ in range(2))
    direction = torch.tensor([0.6, 0.8])
    ours.grad, theirs.grad = direction * length, direction * scaled_to
    norm = take_step(new_adamw([ours], settings), 0.1, 1.0, ALONE)
    torch.optim.AdamW([theirs], lr=0.1, weight_decay=0.01, betas=(0.8, 0.9), eps=1e-3, foreach=False).step()
    assert norm == pytest.approx(length)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    assert ours.grad is None
