"""Lists of clips are read as people write them, and a bad entry costs only itself."""

import json

import pytest

from fastvideo_engine.data.sources import read_source
from fastvideo_engine.errors import DataError
from fastvideo_engine.specs import Manifest, MergedFolder


def _merged(folder, entries):
    (folder / "videos").mkdir()
    (folder / "videos2caption.json").write_text(json.dumps(entries))
    return read_source(MergedFolder(path=str(folder)))


def test_the_folder_that_fastvideo_read_is_read(merged_dataset):
    clips = read_source(MergedFolder(path=str(merged_dataset)))

    assert len(clips) == 8
    assert (clips[0].id, clips[0].name) == ("a_testsrc2_160x120_24_2s.mp4",) * 2
    assert clips[0].caption == "colour bars move over a grey background with a running clock"
    assert all(clip.path.is_file() and clip.problem is None for clip in clips)


@pytest.mark.parametrize("name_key", ["path", "name"])
@pytest.mark.parametrize("caption_key", ["cap", "caption", "text", "prompt"])
def test_all_spellings_of_the_fields_are_understood(tmp_path, name_key, caption_key):
    [clip] = _merged(tmp_path, [{name_key: "a.mp4", caption_key: ["", "a cat"]}])

    assert (clip.path, clip.caption) == (tmp_path / "videos" / "a.mp4", "a cat")


@pytest.mark.parametrize("escape", ["../../secret.mp4", "/etc/passwd", "a/../../../b.mp4"])
def test_a_path_out_of_the_folder_is_a_problem_of_that_clip(tmp_path, escape):
    clips = _merged(tmp_path, [{"path": escape, "cap": "x"}, {"path": "b.mp4", "cap": "y"}])

    assert [clip.problem for clip in clips] == ["Its path leads out of the dataset's folder.", None]


def test_an_entry_without_a_path_is_a_problem_of_that_entry(tmp_path):
    clips = _merged(tmp_path, [{"cap": "x"}, 7, {"path": "b.mp4", "cap": "y"}])

    assert [clip.id for clip in clips] == ["entry 1", "entry 2", "b.mp4"]
    assert [clip.problem is None for clip in clips] == [False, False, True]


def test_a_video_listed_twice_gets_two_ids_and_keeps_its_name(tmp_path):
    clips = _merged(tmp_path, [{"path": "a.mp4", "cap": "x"}, {"path": "a (2).mp4", "cap": "z"}] * 2)

    assert [clip.id for clip in clips] == ["a.mp4", "a (2).mp4", "a (3).mp4", "a (2) (2).mp4"]
    assert [clip.name for clip in clips] == ["a.mp4", "a (2).mp4"] * 2


def test_a_caption_with_half_a_character_can_be_kept_in_a_file(tmp_path):
    (tmp_path / "videos2caption.json").write_text('[{"path": "a.mp4", "cap": "smile \\ud83d"}]')

    assert read_source(MergedFolder(path=str(tmp_path)))[0].caption == "smile ?"


def test_a_manifest_names_its_clips_from_its_own_folder_on(tmp_path):
    lines = [{"name": "cat", "path": "clips/1.mp4", "caption": "a cat"}, {"path": "clips/2.mov", "caption": "a dog"}]
    (tmp_path / "manifest.jsonl").write_text("\n".join(map(json.dumps, lines)))

    cat, dog = read_source(Manifest(path=str(tmp_path / "manifest.jsonl")))

    assert (cat.name, cat.path, cat.caption) == ("cat.mp4", tmp_path / "clips" / "1.mp4", "a cat")
    assert (dog.name, dog.path, dog.caption) == ("2.mov", tmp_path / "clips" / "2.mov", "a dog")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[{", "is not readable as JSON"),
        (b"{}", "is not a list"),
        (b"[]", "lists no clips"),
        (b'["\xff"]', "is not text in UTF-8"),
    ],
)
def test_an_unreadable_list_is_refused_in_a_sentence(tmp_path, content, reason):
    (tmp_path / "videos2caption.json").write_bytes(content)

    with pytest.raises(DataError, match=reason):
        read_source(MergedFolder(path=str(tmp_path)))


def test_a_missing_folder_and_a_missing_list_are_told_apart(tmp_path):
    with pytest.raises(DataError, match="There is no folder"):
        read_source(MergedFolder(path=str(tmp_path / "nowhere")))
    with pytest.raises(DataError, match=r"There is no videos2caption\.json"):
        read_source(MergedFolder(path=str(tmp_path)))
