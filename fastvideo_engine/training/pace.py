"""How fast a run goes, and so how long it will still take."""

from collections import deque
from dataclasses import dataclass, field
from statistics import median

from fastvideo_engine.specs.train import TrainSpec


@dataclass
class Pace:
    """The duration of recent steps and of the last validation."""

    steps: deque[float] = field(default_factory=lambda: deque(maxlen=20))
    validation: float = 0.0

    def seconds_left(self, step: int, spec: TrainSpec) -> float:
        """Estimate the time from the end of a step to the end of the run, validation included."""
        return median(self.steps) * (spec.steps - step) + self.validation * _validations_from(step, spec)


def _validations_from(step: int, spec: TrainSpec) -> int:
    every = spec.validation.every
    at_multiples = spec.steps // every - (step - 1) // every
    return at_multiples + (spec.steps % every != 0)
