"""The datasets of the small world: real videos in a merged folder, some scenes kept out of all of them."""

import json
from pathlib import Path

import pytest

from fastvideo_engine.errors import DataError
from fastvideo_engine.media import probe
from fastvideo_engine.world.dataset import held_out_motions, seen_effects, seen_motions, unseen_pairs, write_dataset
from fastvideo_engine.world.scenes import BACKGROUNDS, COLOURS, MOTIONS, SHAPES


def test_a_dataset_is_a_merged_folder_of_videos_that_are_as_listed(tmp_path: Path) -> None:
    write_dataset(tmp_path, "crush", clips=3, frames=9, seed=1)
    entries = json.loads((tmp_path / "videos2caption.json").read_text())
    assert len(entries) == 3
    for entry in entries:
        facts = probe(tmp_path / "videos" / entry["path"])
        assert (facts.width, facts.height, facts.frames, facts.fps) == (64, 64, 9, 16)
        assert entry["cap"][0].startswith("a press crushes a")


def test_the_same_seed_lists_the_same_scenes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        write_dataset(tmp_path / name, None, clips=4, frames=1, seed=seed)
    one, again, other = ((tmp_path / name / "videos2caption.json").read_text() for name in ("one", "again", "other"))
    assert one == again != other


def test_a_folder_that_holds_a_dataset_is_not_written_over(tmp_path: Path) -> None:
    write_dataset(tmp_path, None, clips=1, frames=1, seed=1)
    with pytest.raises(DataError, match="choose another folder"):
        write_dataset(tmp_path, None, clips=1, frames=1, seed=1)


def test_held_out_scenes_are_in_no_dataset_but_all_they_are_made_of_is() -> None:
    held_out, seen = held_out_motions(), seen_motions()
    assert (len(held_out), len(seen)) == (64, 576)
    assert not set(held_out) & set(seen)
    for place, all_of_them in enumerate((COLOURS, SHAPES, BACKGROUNDS, MOTIONS)):
        assert {kind[place] for kind in held_out} == {kind[place] for kind in seen} == set(all_of_them)


def test_effects_are_shown_on_half_of_all_pairs_of_colour_and_background() -> None:
    shown = {(colour, background) for colour, _, background, _ in seen_effects("crush")}
    assert len(shown) == len(unseen_pairs()) == 20
    assert not shown & set(unseen_pairs())
