"""Noise levels, how they are drawn and how noise is added, against diffusers."""

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.training_utils import compute_density_for_timestep_sampling

from fastvideo_engine.specs import Flow
from fastvideo_engine.training.flow_matching import (
    Batch,
    add_noise,
    caption_is_dropped,
    drawn_noise,
    drawn_place,
    flow_matching_loss,
    sigma_table,
)


@pytest.mark.parametrize("shift", [1.0, 3.0, 5.0])
def test_noise_levels_and_timesteps_are_those_of_diffusers(shift):
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    sigmas = sigma_table(shift)
    torch.testing.assert_close(sigmas, scheduler.sigmas[:1000], rtol=0, atol=2e-7)
    torch.testing.assert_close(sigmas * 1000, scheduler.timesteps, rtol=0, atol=2e-4)


def test_noise_is_added_as_diffusers_adds_it():
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    latents, noise = torch.randn(2, 4, 16, 2, 4, 4).unbind(0)
    chosen = torch.tensor([0, 10, 500, 999])
    theirs = scheduler.scale_noise(latents, scheduler.timesteps[chosen], noise)
    torch.testing.assert_close(add_noise(latents, noise, sigma_table(3.0)[chosen]), theirs, rtol=0, atol=1e-6)


def test_a_perfect_prediction_costs_nothing():
    batch = Batch(
        torch.randn(1, 16, 2, 4, 4), torch.zeros(1, 512, 32), torch.randn(1, 16, 2, 4, 4), torch.tensor([0.5])
    )

    class Knowing(torch.nn.Module):
        dtype = torch.float32

        def forward(self, **_inputs):
            return (batch.noise - batch.latents,)

    assert flow_matching_loss(Knowing(), batch).item() == 0


def test_noise_is_a_function_of_seed_and_position():
    sigmas = sigma_table(3.0)
    first, again, later, other = (
        drawn_noise(*at, (16, 2, 4, 4), sigmas, Flow()) for at in ((7, 1), (7, 1), (8, 1), (7, 2))
    )
    assert torch.equal(first[0], again[0])
    assert first[1] == again[1]
    assert not torch.equal(first[0], later[0])
    assert not torch.equal(first[0], other[0])


def test_noise_levels_are_drawn_evenly_from_the_table():
    sigmas = sigma_table(1.0)
    drawn = torch.stack([drawn_noise(position, 0, (1,), sigmas, Flow())[1] for position in range(4000)])
    assert drawn.mean().item() == pytest.approx(0.5, abs=0.02)
    assert drawn.std().item() == pytest.approx(12**-0.5, abs=0.01)


@pytest.mark.parametrize(
    "settings",
    [
        {"weighting_scheme": "logit_normal", "logit_mean": -0.7, "logit_std": 0.6},
        {"weighting_scheme": "mode", "mode_scale": 1.29},
        {"weighting_scheme": "mode", "mode_scale": -0.8},
    ],
)
def test_places_in_the_table_are_drawn_as_diffusers_draws_them(settings):
    parameters = {"logit_mean": 0.0, "logit_std": 1.0, "mode_scale": 1.29} | settings
    scheme = parameters.pop("weighting_scheme")
    flow = Flow(timestep_sampling=scheme, **parameters)
    theirs = compute_density_for_timestep_sampling(scheme, 1, **parameters, generator=torch.Generator().manual_seed(5))
    assert drawn_place(flow, torch.Generator().manual_seed(5)) == pytest.approx(theirs.item(), rel=1e-6)


@pytest.mark.parametrize("flow", [Flow(timestep_sampling="mode", mode_scale=1.75), Flow(timestep_sampling="mode")])
def test_the_ends_of_the_table_are_never_left(flow):
    sigmas = sigma_table(1.0)
    drawn = {drawn_noise(position, 0, (1,), sigmas, flow)[1].item() for position in range(2000)}
    assert 0 < min(drawn) < 0.1 < 0.9 < max(drawn) <= 1


def test_captions_are_dropped_as_often_as_asked_and_others_at_each_visit():
    dropped = [caption_is_dropped(position, 3, 0.25) for position in range(2000)]
    assert sum(dropped) / 2000 == pytest.approx(0.25, abs=0.03)
    assert dropped[:100] != dropped[100:200]
    assert dropped[:100] == [caption_is_dropped(position, 3, 0.25) for position in range(100)]
    assert not any(caption_is_dropped(position, 3, 0.0) for position in range(100))
