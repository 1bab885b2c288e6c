"""What each step learns from: whole epochs over all processes, and now and then the empty caption."""

import pytest
import torch

from fastvideo_engine.data.loader import open_parquet
from fastvideo_engine.data.mixing import Mixture
from fastvideo_engine.data.recent import RecentClips
from fastvideo_engine.distributed import Ranks
from fastvideo_engine.families import FAMILIES
from fastvideo_engine.specs import Flow
from fastvideo_engine.training.batches import Batches
from fastvideo_engine.training.flow_matching import sigma_table

EMPTY = torch.full((512, 32), 7.0)


@pytest.fixture
def batches(train_spec, fastvideo_fixtures):
    def make(rank=0, world_size=1, **changes):
        clips = open_parquet(fastvideo_fixtures / "t2v")
        return Batches(
            clips=RecentClips(clips),
            order=Mixture(tuple(clips.by_shape.values()), seed=42),
            family=FAMILIES[0],
            mean_std=(torch.zeros(1, 16, 1, 1, 1), torch.ones(1, 16, 1, 1, 1)),
            sigmas={"transformer": sigma_table(3.0)},
            empty_caption=EMPTY,
            spec=train_spec(**changes),
            ranks=Ranks(rank, world_size, torch.device("cpu")),
        )

    return make


def _same(one, other):
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("latents", "text", "noise", "sigma"))


def test_as_many_captions_are_dropped_as_asked_for_and_the_others_stay(batches):
    texts = batches(batch_size=400, flow=Flow(caption_dropout=0.3)).at(0).text
    dropped = sum(torch.equal(text, EMPTY) for text in texts)
    assert dropped / 400 == pytest.approx(0.3, abs=0.06)
    kept = batches(batch_size=400).at(0).text
    assert sum(torch.equal(one, other) for one, other in zip(texts, kept, strict=True)) == 400 - dropped


def test_dropping_captions_changes_neither_clips_nor_noise(batches):
    with_all, without = batches(batch_size=4).at(3), batches(batch_size=4, flow=Flow(caption_dropout=1)).at(3)
    assert torch.equal(with_all.latents, without.latents)
    assert torch.equal(with_all.noise, without.noise)
    assert torch.equal(with_all.sigma, without.sigma)


def test_reading_ahead_goes_through_the_parts_of_each_step_in_order(batches):
    ours = batches(steps=3, batch_size=2, gradient_accumulation=2)
    read = list(ours.from_step(2))
    assert len(read) == 4
    assert all(_same(batch, ours.at(number)) for number, batch in enumerate(read, start=2))


def test_processes_together_take_what_one_would_take_alone(batches):
    alone = batches(batch_size=4).at(1)
    shares = [batches(rank, 2, batch_size=2).at(1) for rank in range(2)]
    assert torch.equal(torch.cat([share.latents for share in shares]), alone.latents)
    assert torch.equal(torch.cat([share.noise for share in shares]), alone.noise)
