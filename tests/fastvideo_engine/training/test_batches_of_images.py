"""Batches of image to video and of two experts: what Parquet holds of each clip, the same whoever reads it."""

from pathlib import Path

import pytest
import torch

from fastvideo_engine.data.loader import first_frame_tensors, open_parquet
from fastvideo_engine.data.mixing import Mixture
from fastvideo_engine.data.recent import RecentClips
from fastvideo_engine.distributed import Ranks
from fastvideo_engine.families import family_of_folder
from fastvideo_engine.training.batches import Batches
from fastvideo_engine.training.flow_matching import sigma_table, sigmas_by_expert

STATISTICS = torch.full((1, 16, 1, 1, 1), 0.1), torch.full((1, 16, 1, 1, 1), 2.0)


@pytest.fixture
def batches_of(train_spec, fastvideo_fixtures):
    def make(model: Path, rank=0, world_size=1, **changes) -> Batches:
        family = family_of_folder(model)
        clips = open_parquet(fastvideo_fixtures / "i2v", first_frame_tensors(family))
        return Batches(
            clips=RecentClips(clips),
            order=Mixture(tuple(clips.by_shape.values()), seed=42),
            family=family,
            mean_std=STATISTICS,
            sigmas=sigmas_by_expert(sigma_table(3.0), family),
            empty_caption=None,
            spec=train_spec(**changes),
            ranks=Ranks(rank, world_size, torch.device("cpu")),
        )

    return make


def test_a_batch_holds_first_frames_as_they_were_stored(batches_of, tiny_wan_i2v):
    batches = batches_of(tiny_wan_i2v, batch_size=8)
    batch = batches.at(0)
    stored = [batches.clips.read(number) for number in range(8)]
    for latents, channels, seen in zip(batch.latents, batch.more_channels, batch.seen, strict=True):
        (clip,) = (each for each in stored if torch.equal(each.clip_feature, seen))
        torch.testing.assert_close(latents * 2 + 0.1, clip.latent)
        assert torch.equal(channels[4:], clip.first_frame_latent)
        assert torch.equal(channels[:4].amax((0, 2, 3)), torch.tensor([1.0, 0, 0, 0, 0]))


def test_two_processes_share_one_batch_for_the_same_expert(batches_of, tiny_a14b_i2v):
    whole = batches_of(tiny_a14b_i2v, batch_size=2)
    halves = [batches_of(tiny_a14b_i2v, rank, world_size=2, batch_size=1) for rank in range(2)]
    parts = set()
    for number in range(12):
        both, first, second = (batches.at(number) for batches in (whole, *halves))
        for field in ("latents", "text", "noise", "sigma", "more_channels"):
            halved = torch.cat([getattr(first, field), getattr(second, field)])
            assert torch.equal(getattr(both, field), halved)
        assert both.part == first.part == second.part
        assert all((both.sigma >= 0.9) == (both.part == "transformer"))
        parts.add(both.part)
    assert parts == {"transformer", "transformer_2"}
