import json
import shutil
from pathlib import Path

from fastvideo_engine.media import probe
from worker.store import datasets, intake


def test_a_dropped_clip_is_probed_and_gets_a_poster(take_in, dataset, clip_file):
    take_in(clip_file("cat.mp4", seconds=2, fps=24, size=(160, 120)))
    (clip,) = datasets.clips(dataset.id)
    facts = clip.facts
    assert (facts.width, facts.height, facts.fps, facts.frames, facts.codec) == (160, 120, 24, 48, "h264")
    assert facts == probe(clip.file)
    assert clip.poster.read_bytes()[:2] == b"\xff\xd8"
    assert clip.file.is_file()


def test_a_text_file_named_mp4_is_listed_with_its_reason_and_blocks_nobody(take_in, dataset, clip_file, tmp_path):
    (tmp_path / "fake.mp4").write_text("not a video")
    taken = take_in(tmp_path / "fake.mp4", clip_file("cat.mp4"))
    fake, cat = datasets.clips(dataset.id)
    assert fake.problem is not None
    assert cat.problem is None
    assert taken.notices == [f"fake.mp4 cannot be used: {fake.problem}"]


def test_a_caption_file_gives_captions_by_name(take_in, dataset, clip_file, tmp_path):
    captions = tmp_path / "videos2caption.json"
    captions.write_text(json.dumps([{"path": "videos/cat.mp4", "cap": ["a cat", "unused"]}]))
    assert take_in(captions, clip_file("cat.mp4")).captioned == 1
    assert [clip.caption for clip in datasets.clips(dataset.id)] == ["a cat"]


def test_a_sidecar_text_file_captions_the_clip_of_its_name(take_in, dataset, clip_file, tmp_path):
    (tmp_path / "cat.txt").write_text("a cat\n  sleeps ")
    take_in(clip_file("cat.mp4"), tmp_path / "cat.txt")
    assert datasets.clips(dataset.id)[0].caption == "a cat sleeps"


def test_a_caption_of_a_missing_video_is_named_and_waits_for_it(take_in, dataset, clip_file, tmp_path):
    captions = tmp_path / "videos2caption.json"
    captions.write_text(json.dumps([{"path": "late.mp4", "cap": "it comes later"}]))
    (notice,) = take_in(captions).notices
    assert "late.mp4" in notice
    take_in(clip_file("late.mp4"))
    assert datasets.clips(dataset.id)[0].caption == "it comes later"


def test_an_unreadable_caption_file_says_where_it_is_wrong(take_in, tmp_path):
    (tmp_path / "videos2caption.json").write_text('[{"path": "a.mp4", ]')
    assert (
        take_in(tmp_path / "videos2caption.json")
        .notices[0]
        .startswith("videos2caption.json is not readable as JSON (line 1")
    )


def test_dropping_the_same_file_twice_keeps_one_clip(take_in, dataset, clip_file, tmp_path):
    file = clip_file("cat.mp4")
    again = Path(shutil.copy(file, tmp_path))
    take_in(file)
    taken = take_in(again)
    assert len(datasets.clips(dataset.id)) == 1
    assert taken.notices == ["cat.mp4 is in this dataset already."]


def test_another_file_of_the_same_name_is_kept_under_a_number(take_in, dataset, clip_file):
    take_in(clip_file("cat.mp4", seconds=1))
    take_in(clip_file("cat.mp4", seconds=2))
    assert [clip.name for clip in datasets.clips(dataset.id)] == ["cat.mp4", "cat (2).mp4"]


def test_a_name_that_leads_out_of_the_folder_is_cut_to_its_end(dataset, clip_file, studio_home):
    clip = intake.add_clip_file(dataset.id, clip_file("a.mp4"), "../../../evil.mp4")
    assert clip.file == studio_home / "datasets" / "1" / "clips" / "evil.mp4"


def test_removing_a_clip_removes_its_files(take_in, dataset, clip_file):
    take_in(clip_file("cat.mp4"))
    (clip,) = datasets.clips(dataset.id)
    datasets.remove_clip(clip.id)
    assert datasets.clips(dataset.id) == []
    assert not clip.file.exists()
    assert not clip.poster.exists()


def test_a_card_counts_what_can_be_used_and_what_is_captioned(take_in, dataset, clip_file, tmp_path):
    (tmp_path / "fake.mp4").write_text("x")
    (tmp_path / "cat.txt").write_text("a cat")
    take_in(
        tmp_path / "fake.mp4", clip_file("cat.mp4", seconds=2), clip_file("dog.mp4", seconds=2), tmp_path / "cat.txt"
    )
    card = datasets.card(dataset.id)
    assert (card.clips, card.usable, card.captioned, round(card.seconds)) == (3, 2, 1, 4)
