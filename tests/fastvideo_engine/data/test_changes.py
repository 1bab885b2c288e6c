"""Whether a row of the ledger still holds is told by content and caption, and files are read only when they must be."""

import os

import pytest

from fastvideo_engine.data.changes import changes_since, content_of, input_of, stamp_of
from fastvideo_engine.data.ledger import LedgerRow
from fastvideo_engine.data.sources import Clip


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"content")
    return Clip(id="a.mp4", name="a.mp4", path=path, caption="x", text="x")


@pytest.fixture
def row(clip):
    content = content_of(clip.path)
    told = {"stamp": stamp_of(clip), "content": content, "input": input_of(content, clip)}
    return LedgerRow(clip="a.mp4", state="written", file="f", row=0, **told)


def test_nothing_changed(clip, row):
    changes = changes_since([row], [clip])
    assert (changes.outdated, changes.unlisted, changes.restamped) == (frozenset(), frozenset(), [])


def test_a_file_of_the_same_size_and_time_is_not_read(clip, row):
    at = clip.path.stat().st_mtime_ns
    clip.path.write_bytes(b"CONTENT")
    os.utime(clip.path, ns=(at, at))
    assert changes_since([row], [clip]).outdated == frozenset()


def test_another_content_is_noticed(clip, row):
    clip.path.write_bytes(b"more content")
    assert changes_since([row], [clip]).outdated == {"a.mp4"}


def test_what_cannot_be_read_any_more_was_encoded_when_it_could(clip, row):
    clip.path.unlink()
    clip.path.mkdir()
    assert changes_since([row], [clip]).outdated == frozenset()


def test_all_clips_of_a_video_go_when_one_changed(clip, row):
    parts = [row.model_copy(update={"clip": f"a.mp4#{n}", "video": "a.mp4", "parts": 2}) for n in (1, 2)]
    parts[1] = parts[1].model_copy(update={"input": "another"})
    assert changes_since(parts, [clip]).outdated == {"a.mp4"}


def test_rows_of_earlier_engines_which_tell_no_hash_stay(clip):
    assert changes_since([LedgerRow(clip="a.mp4", state="written", file="f", row=0)], [clip]).outdated == frozenset()


def test_a_row_that_the_list_does_not_name_is_told_apart(row):
    assert changes_since([row], []).unlisted == {"a.mp4"}
