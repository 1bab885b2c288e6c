"""Lists of clips are read as people write them, and a bad entry costs only itself."""

import json

import pytest

from fastvideo_engine.data.sources import clips_of
from fastvideo_engine.errors import DataError
from fastvideo_engine.specs import Manifest, MergedFolder, PreprocessSpec


def read_source(source, **changes):
    return clips_of(PreprocessSpec(model="m", source=source, **changes))


def _merged(folder, entries, **changes):
    (folder / "videos").mkdir()
    (folder / "videos2caption.json").write_text(json.dumps(entries))
    return read_source(MergedFolder(path=str(folder)), **changes)


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


def test_whatever_else_a_list_says_of_a_video_is_not_believed(tmp_path):
    wrong = {"fps": "many", "num_frames": -3, "resolution": None, "duration": {"s": 1}, "size": [], "extra": 1}

    [clip] = _merged(tmp_path, [{"path": "a.mp4", "cap": "x", **wrong}])

    assert (clip.name, clip.caption, clip.problem) == ("a.mp4", "x", None)


def test_a_csv_file_is_read_by_its_heading(tmp_path):
    (tmp_path / "list.csv").write_text('\ufeffPath, Caption, fps\na.mp4,"a cat, asleep",30\nsub/b.mp4,a dog,\n')

    clips = read_source(Manifest(path=str(tmp_path / "list.csv")))

    assert [(clip.path, clip.caption) for clip in clips] == [
        (tmp_path / "a.mp4", "a cat, asleep"),
        (tmp_path / "sub" / "b.mp4", "a dog"),
    ]


def test_a_json_list_may_be_anywhere(tmp_path):
    (tmp_path / "list.json").write_text('[{"video": "a.mp4", "prompt": "a cat"}]')

    [clip] = read_source(Manifest(path=str(tmp_path / "list.json")))

    assert (clip.path, clip.caption) == (tmp_path / "a.mp4", "a cat")


def test_videos_and_prompts_line_by_line_keep_their_lines(tmp_path):
    (tmp_path / "videos.txt").write_text("a.mp4\nb.mp4\nc.mp4\n")
    (tmp_path / "prompt.txt").write_text("a cat\n\na bird\n")

    clips = read_source(Manifest(path=str(tmp_path)))

    assert [(clip.name, clip.caption) for clip in clips] == [("a.mp4", "a cat"), ("b.mp4", ""), ("c.mp4", "a bird")]


def test_a_line_too_few_is_said_rather_than_shifted(tmp_path):
    (tmp_path / "videos.txt").write_text("a.mp4\nb.mp4\n")
    (tmp_path / "prompt.txt").write_text("a cat\n")

    with pytest.raises(DataError, match=r"has 2 lines and prompt\.txt has 1; line for line"):
        read_source(Manifest(path=str(tmp_path)))


def test_a_plain_folder_gives_its_videos_and_pictures_with_the_texts_beside_them(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("b.MOV", "sub/a.mp4", "c.png", "notes.pdf", ".hidden.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "b.txt").write_text("a cat\non a mat\n")
    (tmp_path / "sub" / "a.txt").write_text("a dog")

    clips = read_source(Manifest(path=str(tmp_path)))

    assert [(clip.id, clip.caption) for clip in clips] == [
        ("b.MOV", "a cat on a mat"),
        ("c.png", ""),
        ("sub/a.mp4", "a dog"),
    ]


def test_of_several_captions_the_first_a_random_one_or_all_are_taken(tmp_path):
    entries = [{"path": f"{number}.mp4", "cap": ["x", "y"]} for number in range(40)]

    def captions(choice):
        return [clip.caption for clip in read_source(source, captions={"choice": choice})]

    _merged(tmp_path, entries)
    source = MergedFolder(path=str(tmp_path))
    assert captions("first") == ["x"] * 40
    assert captions("all") == ["x", "y"] * 40
    assert captions("random") == captions("random")
    assert 10 < captions("random").count("y") < 30


def test_so_large_a_share_of_captions_is_encoded_as_an_empty_one_as_was_asked(tmp_path):
    entries = [{"path": f"{number}.mp4", "cap": "x"} for number in range(300)]

    clips = _merged(tmp_path, entries, captions={"training_cfg_rate": 0.2})

    assert {clip.caption for clip in clips} == {"x"}
    assert 0.12 < sum(clip.text == "" for clip in clips) / 300 < 0.28


def test_the_same_clips_are_held_out_however_many_are_added(tmp_path):
    entries = [{"path": f"{number}.mp4", "cap": ["x", "y"]} for number in range(300)]
    (tmp_path / "more").mkdir()
    asked = {"held_out": {"share": 0.1}, "captions": {"choice": "all"}}

    few = {clip.path.name for clip in _merged(tmp_path, entries[:200], **asked) if clip.is_held_out}
    many = [clip.path.name for clip in _merged(tmp_path / "more", entries, **asked) if clip.is_held_out]

    assert 10 < len(few) < 32
    assert few == {name for name in many if int(name.removesuffix(".mp4")) < 200}
    assert all(many.count(name) == 2 for name in many)  # both captions of a video are on one side


def test_a_share_too_small_for_the_list_holds_out_one(tmp_path):
    clips = _merged(tmp_path, [{"path": f"{number}.mp4", "cap": "x"} for number in range(5)], held_out={"share": 0.01})

    assert sum(clip.is_held_out for clip in clips) == 1
