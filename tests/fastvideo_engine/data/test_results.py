"""After a crash at any point, files and ledger agree, and no clip is there twice or lost."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from fastvideo_engine.data.changes import Changes
from fastvideo_engine.data.ledger import LedgerRow, LedgerWriter, read_ledger
from fastvideo_engine.data.parquet import Origin, Provenance, Sample, write_samples
from fastvideo_engine.data.results import Results, forget_changed, forget_what_a_crash_left
from fastvideo_engine.events import ClipRejected, EventWriter
from fastvideo_engine.specs.preprocess import Output

_MADE_WITH = Provenance(
    model="a", vae_fingerprint="b", train_fps=16, height=64, width=96, frames=17, engine_version="1"
)


def _sample(name):
    return Sample(name, name, "a cat", np.zeros((16, 1, 2, 2)), np.ones((3, 32)), 96, 64, 0.5, 24.0)


@pytest.fixture
def folder(run_folder):
    return run_folder()


@pytest.fixture
def results(folder):
    return Results(folder, rank=0, events=EventWriter(folder.events))


def _ids(folder):
    return sorted(pq.read_table(folder.parquet)["id"].to_pylist()) if any(folder.parquet.rglob("*.parquet")) else []


def _add(results, *names, bucket="", is_held_out=False, video=None):
    for name in names:
        row = LedgerRow(clip=name, state="written", video=video, parts=len(names) if video else 1)
        sample = replace(_sample(name), origin=Origin(bucket=bucket))
        results.add(sample, row, _MADE_WITH, is_held_out)


def _left_out(name):
    return LedgerRow(clip=name, state="rejected", reason="The file is empty.")


def test_eight_samples_make_a_file_and_each_is_in_the_ledger(folder, results):
    _add(results, *(f"{number}.mp4" for number in range(9)))
    results._to_write[-1].result()

    assert _ids(folder) == [f"{number}.mp4" for number in range(8)]
    assert {name: row.row for name, row in read_ledger(folder).items()} == {f"{n}.mp4": n for n in range(8)}
    assert results.unwritten == 1


def test_files_are_as_long_as_asked_and_written_when_so_many_wait(folder):
    results = Results(folder, 0, EventWriter(folder.events), Output(samples_per_file=3, flush_frequency=4))
    _add(results, "a.mp4", "b.mp4", bucket="17x64x96")
    _add(results, "c.mp4", "d.mp4", "e.mp4")
    results._to_write[-1].result()

    assert {name: row.file.split("/")[1] for name, row in read_ledger(folder).items()} == {
        "a.mp4": "17x64x96", "b.mp4": "17x64x96", "c.mp4": "worker_0", "d.mp4": "worker_0",
    }  # fmt: skip


def test_held_out_samples_are_apart(folder, results):
    _add(results, "a.mp4")
    _add(results, "b.mp4", is_held_out=True)
    results.write_waiting()

    assert _ids(folder) == ["a.mp4"]
    assert pq.read_table(folder.validation_parquet)["id"].to_pylist() == ["b.mp4"]
    assert read_ledger(folder)["b.mp4"].file.startswith("validation_parquet_dataset/worker_0/data_chunk_")


def test_what_the_disk_refuses_is_said_where_samples_are_added(folder, results):
    folder.parquet.write_text("a file where the folder should be")

    with pytest.raises(NotADirectoryError):
        _add(results, *(f"{number}.mp4" for number in range(4)))


def test_a_rejected_clip_is_in_the_events_and_in_the_ledger(folder, results, events_of):
    results.reject(_left_out("a.mp4"))

    assert [(event.clip, event.reason) for event in events_of(folder, ClipRejected)] == [
        ("a.mp4", "The file is empty.")
    ]
    assert read_ledger(folder)["a.mp4"].state == "rejected"


@pytest.fixture
def two_files(folder, results):
    """Three clips in one file, of which two are of one video, and one clip in another."""
    _add(results, "a.mp4")
    _add(results, "b.mp4#0001", "b.mp4#0002", video="b.mp4")
    results.write_waiting()
    _add(results, "c.mp4")
    results.write_waiting()
    return {row.file for row in read_ledger(folder).values()}


def _changes(outdated=(), unlisted=(), restamped=()):
    return Changes(frozenset(outdated), frozenset(unlisted), list(restamped))


def test_a_changed_video_leaves_its_file_and_waits_while_the_others_stay(folder, two_files):
    forget_changed(folder, _changes(outdated=["b.mp4"], unlisted=["c.mp4"]))

    rows = read_ledger(folder)
    assert (_ids(folder), sorted(rows)) == (["a.mp4"], ["a.mp4", "b.mp4"])
    assert (rows["b.mp4"].state, rows["b.mp4"].attempts) == ("waiting", 1)
    assert not any((folder.path / file).exists() for file in two_files)
    forget_what_a_crash_left(folder)
    assert (_ids(folder), sorted(read_ledger(folder))) == (["a.mp4"], ["a.mp4", "b.mp4"])


def test_a_crash_while_changed_videos_are_taken_out_is_mended(folder, two_files):
    before = (folder.ledger / "worker_0.jsonl").read_bytes()
    old = {file: (folder.path / file).read_bytes() for file in two_files}
    forget_changed(folder, _changes(outdated=["a.mp4"]))
    (folder.ledger / "worker_0.jsonl").write_bytes(before)  # as if the crash came before the ledger was rewritten
    for file, content in old.items():
        (folder.path / file).write_bytes(content)

    forget_what_a_crash_left(folder)

    assert _ids(folder) == sorted(read_ledger(folder)) == ["a.mp4", "b.mp4#0001", "b.mp4#0002", "c.mp4"]


def test_a_file_that_was_only_touched_gets_its_new_stamp(folder, two_files):
    row = read_ledger(folder)["c.mp4"]
    forget_changed(folder, _changes(restamped=[row.model_copy(update={"stamp": "new"})]))

    assert read_ledger(folder)["c.mp4"].stamp == "new"
    assert {row.file for row in read_ledger(folder).values()} == two_files


def test_a_file_that_the_ledger_does_not_know_goes(folder, results):
    _add(results, "a.mp4")
    results.write_waiting()
    write_samples(folder.parquet / "worker_0", [_sample("b.mp4")], _MADE_WITH)  # the crash came before its ledger row

    forget_what_a_crash_left(folder)

    assert _ids(folder) == ["a.mp4"]
    assert list(read_ledger(folder)) == ["a.mp4"]


def test_a_file_of_which_the_ledger_knows_only_a_part_goes_with_its_rows(folder, results):
    for name in ("a.mp4", "b.mp4"):
        _add(results, name)
    results.write_waiting()
    ledger = folder.ledger / "worker_0.jsonl"
    ledger.write_bytes(ledger.read_bytes()[:-20])  # the crash came while it was written

    forget_what_a_crash_left(folder)

    assert _ids(folder) == []
    assert read_ledger(folder) == {}


def test_rows_whose_file_is_gone_or_cut_off_are_forgotten_and_others_stay(folder, results):
    for name in ("a.mp4", "b.mp4"):
        _add(results, name)
        results.write_waiting()
    results.reject(_left_out("c.mp4"))
    (folder.path / read_ledger(folder)["a.mp4"].file).write_bytes(b"PAR1")

    forget_what_a_crash_left(folder)

    assert sorted(read_ledger(folder)) == ["b.mp4", "c.mp4"]
    assert _ids(folder) == ["b.mp4"]


def test_the_ledgers_of_all_processes_become_one(folder, results):
    results.reject(_left_out("a.mp4"))
    Results(folder, rank=3, events=EventWriter(folder.events)).reject(_left_out("b.mp4"))

    forget_what_a_crash_left(folder)

    assert [file.name for file in folder.ledger.iterdir()] == ["worker_0.jsonl"]
    assert sorted(read_ledger(folder)) == ["a.mp4", "b.mp4"]
    assert (folder.ledger / "worker_0.jsonl").read_bytes().count(b"\n") == 2


def test_files_of_other_tools_stay(folder, results):
    theirs = folder.parquet / "worker_0" / "data_chunk_0.parquet"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"PAR1")

    forget_what_a_crash_left(folder)

    assert theirs.exists()


def test_fastvideos_index_of_the_files_goes(folder, results):
    index = folder.parquet / "map_style_cache" / "file_info.pkl"
    index.parent.mkdir(parents=True)
    index.write_bytes(b"old")

    forget_what_a_crash_left(folder)

    assert not index.exists()


def test_rows_are_appended_after_those_of_an_earlier_start(folder, results):
    results.reject(_left_out("a.mp4"))
    LedgerWriter(folder, 0).add([])

    assert list(read_ledger(folder)) == ["a.mp4"]
