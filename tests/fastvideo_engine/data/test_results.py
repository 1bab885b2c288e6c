"""After a crash at any point, files and ledger agree, and no clip is there twice or lost."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from fastvideo_engine.data.ledger import LedgerWriter, count_ledger, read_ledger
from fastvideo_engine.data.parquet import Provenance, Sample, write_samples
from fastvideo_engine.data.results import Results, forget_what_a_crash_left
from fastvideo_engine.events import ClipRejected, EventWriter

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


def test_eight_samples_make_a_file_and_each_is_in_the_ledger(folder, results):
    written = [results.add(_sample(f"{number}.mp4"), _MADE_WITH) for number in range(9)]

    assert written == [False] * 7 + [True, False]
    assert _ids(folder) == [f"{number}.mp4" for number in range(8)]
    assert {name: row.row for name, row in read_ledger(folder).items()} == {f"{n}.mp4": n for n in range(8)}


def test_a_rejected_clip_is_in_the_events_and_in_the_ledger(folder, results, events_of):
    results.reject("a.mp4", "The file is empty.")

    assert [(event.clip, event.reason) for event in events_of(folder, ClipRejected)] == [
        ("a.mp4", "The file is empty.")
    ]
    assert read_ledger(folder)["a.mp4"].state == "rejected"


def test_a_file_that_the_ledger_does_not_know_goes(folder, results):
    results.add(_sample("a.mp4"), _MADE_WITH)
    results.write_waiting(_MADE_WITH)
    write_samples(folder.parquet / "worker_0", [_sample("b.mp4")], _MADE_WITH)  # the crash came before its ledger row

    forget_what_a_crash_left(folder)

    assert _ids(folder) == ["a.mp4"]
    assert list(read_ledger(folder)) == ["a.mp4"]


def test_a_file_of_which_the_ledger_knows_only_a_part_goes_with_its_rows(folder, results):
    for name in ("a.mp4", "b.mp4"):
        results.add(_sample(name), _MADE_WITH)
    results.write_waiting(_MADE_WITH)
    ledger = folder.ledger / "worker_0.jsonl"
    ledger.write_bytes(ledger.read_bytes()[:-20])  # the crash came while it was written

    forget_what_a_crash_left(folder)

    assert _ids(folder) == []
    assert read_ledger(folder) == {}


def test_rows_whose_file_is_gone_or_cut_off_are_forgotten_and_others_stay(folder, results):
    for name in ("a.mp4", "b.mp4"):
        results.add(_sample(name), _MADE_WITH)
        results.write_waiting(_MADE_WITH)
    results.reject("c.mp4", "The file is empty.")
    (folder.path / read_ledger(folder)["a.mp4"].file).write_bytes(b"PAR1")

    forget_what_a_crash_left(folder)

    assert sorted(read_ledger(folder)) == ["b.mp4", "c.mp4"]
    assert _ids(folder) == ["b.mp4"]


def test_the_ledgers_of_all_processes_become_one(folder, results):
    results.reject("a.mp4", "The file is empty.")
    Results(folder, rank=3, events=EventWriter(folder.events)).reject("b.mp4", "The file is empty.")

    forget_what_a_crash_left(folder)

    assert [file.name for file in folder.ledger.iterdir()] == ["worker_0.jsonl"]
    assert sorted(read_ledger(folder)) == ["a.mp4", "b.mp4"]
    assert count_ledger(folder) == 2


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
    results.reject("a.mp4", "The file is empty.")
    LedgerWriter(folder, 0).add([])

    assert list(read_ledger(folder)) == ["a.mp4"]
