import pytest

from fastvideo_engine.specs import ImportSpec
from worker.store import datasets, intake, jobs


@pytest.fixture
def clip(dataset, clip_file):
    return intake.add_clip_file(dataset.id, clip_file("cat.mp4"), "cat.mp4", "a cat")


def test_setting_a_caption_tells_which_one_it_replaced(clip):
    assert datasets.set_caption(clip.id, "  a dog ") == "a cat"
    assert datasets.clip(clip.id).caption == "a dog"


def test_a_caption_for_a_clip_that_is_gone_is_refused(clip):
    datasets.remove_clip(clip.id)
    assert datasets.set_caption(clip.id, "late") is None


def test_captions_find_a_clip_whose_name_was_changed_on_its_way_up(dataset, clip_file):
    clip = intake.add_clip_file(dataset.id, clip_file("a.mp4"), "lm_n.mp4")
    assert datasets.set_captions(dataset.id, {"l!m~n.mp4": "odd signs"}) == []
    assert datasets.clip(clip.id).caption == "odd signs"


def test_an_empty_dataset_can_be_forgotten_and_its_jobs_stay(dataset):
    job = jobs.create(ImportSpec(dataset="owner/name"), "Import", dataset_id=dataset.id)
    assert datasets.forget_empty(dataset.id)
    assert datasets.get(dataset.id) is None
    assert jobs.get(job.id).dataset_id is None


def test_a_dataset_with_clips_is_not_forgotten(dataset, clip):
    assert not datasets.forget_empty(dataset.id)
    assert datasets.card(dataset.id).clips == 1


def test_what_there_was_to_say_about_files_outlives_the_page(take_in, dataset, tmp_path):
    (tmp_path / "fake.mp4").write_text("x")
    told = take_in(tmp_path / "fake.mp4").notices
    assert datasets.get(dataset.id).notices == told
