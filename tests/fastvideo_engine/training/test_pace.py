"""The time that is left: the usual step times the steps, and the samples still to come."""

from collections import deque

import pytest

from fastvideo_engine.specs import Validation
from fastvideo_engine.training.pace import Pace


@pytest.mark.parametrize(
    ("step", "steps", "samplings"),
    [(1, 10, 3), (4, 10, 3), (5, 10, 2), (8, 10, 2), (9, 10, 1), (10, 10, 1), (1, 8, 2)],
)
def test_samplings_still_to_come_are_counted(train_spec, step, steps, samplings):
    spec = train_spec(steps=steps, validation=Validation(prompts=["waves"], every=4))
    due = [later for later in range(step, steps + 1) if spec.validation.is_due(later, steps)]
    assert len(due) == samplings
    assert Pace(deque([0.0]), validation=1.0).seconds_left(step, spec) == samplings


def test_one_slow_step_does_not_change_the_estimate(train_spec):
    assert Pace(deque([2.0, 2.0, 90.0])).seconds_left(6, train_spec(steps=10)) == 8
