"""What is shown of a training: the average, without dropout, and the weights themselves again afterwards."""

import torch

from fastvideo_engine.families import FAMILIES
from fastvideo_engine.specs import Optimizer
from fastvideo_engine.training.average import MovingAverage
from fastvideo_engine.training.optimizer import new_adamw
from fastvideo_engine.training.trained import Trained, trained_weights


def test_the_average_is_shown_and_the_weights_come_back(adapted_wan, velocity):
    transformer = adapted_wan().train()
    weights = trained_weights(transformer)
    average = MovingAverage({name: torch.zeros_like(weight) for name, weight in weights.items()}, 0.9)
    trained = Trained(FAMILIES[0], transformer, new_adamw(weights.values(), Optimizer()), average)
    before = velocity(transformer)
    with trained.shown():
        assert not transformer.training
        shown = velocity(transformer)
    transformer.disable_adapters()
    assert torch.equal(shown, velocity(transformer))
    transformer.enable_adapters()
    assert torch.equal(velocity(transformer), before)
    assert transformer.training
