"""A folder's rows are all of one kind: other settings are refused by name, what has no effect on rows is not."""

import json

import pytest

from fastvideo_engine.data.ledger import LedgerRow, hold_to_settings, hold_to_vae, rows_by_video, settled_videos
from fastvideo_engine.errors import SpecError
from fastvideo_engine.specs import Manifest, MergedFolder, PreprocessSpec


def _spec(**changes):
    return PreprocessSpec(**{"model": "a/b", "source": Manifest(path="list"), **changes})


def test_the_same_settings_have_the_same_hash_and_others_are_refused_with_the_cure(run_folder):
    folder = run_folder()
    assert hold_to_settings(folder, _spec()) == hold_to_settings(folder, _spec())
    with pytest.raises(SpecError) as refusal:
        hold_to_settings(folder, _spec(workload="i2v", captions={"choice": "all"}))
    assert str(refusal.value) == (
        f"{folder.path} holds clips of other settings (workload was t2v, now i2v; captions.choice was first, now all); "
        "choose another output folder for these, or take the old settings to continue."
    )


@pytest.mark.parametrize(
    "change",
    [
        {"processes": 2},
        {"max_bad_share": 1},
        {"source": MergedFolder(path="elsewhere")},
        {"model": "moved"},
        {"decoding": {"workers": 0}},
        {"encoding": {"batch_size": 4}},
        {"output": {"samples_per_file": 64, "flush_frequency": 256, "rows_per_group": 4}},
    ],
)
def test_what_has_no_effect_on_rows_may_change(run_folder, change):
    folder = run_folder()
    assert hold_to_settings(folder, _spec()) == hold_to_settings(folder, _spec(**change))


def test_a_setting_that_a_folder_did_not_know_had_its_default_there(run_folder):
    folder = run_folder()
    hold_to_settings(folder, _spec())
    settings = folder.ledger / "settings.json"
    known = json.loads(settings.read_text())
    del known["selection.speed_factor"]
    settings.write_text(json.dumps(known))

    hold_to_settings(folder, _spec())
    with pytest.raises(SpecError, match=r"selection.speed_factor was 1.0, now 3.0"):
        hold_to_settings(folder, _spec(selection={"speed_factor": 3}))


def test_a_folder_keeps_to_the_vae_of_its_first_clips(run_folder):
    folder = run_folder()
    hold_to_settings(folder, _spec())
    hold_to_vae(folder, "one")
    hold_to_vae(folder, "one")
    with pytest.raises(SpecError, match="another VAE encoded"):
        hold_to_vae(folder, "other")
    hold_to_settings(folder, _spec())


def test_a_video_is_settled_once_all_its_clips_are():
    parts = [LedgerRow(clip=f"a#{n}", state="written", video="a", parts=2) for n in (1, 2)]
    others = [LedgerRow(clip="b", state="rejected"), LedgerRow(clip="c", state="waiting")]
    assert settled_videos([parts[0], *others]) == {"b"}
    assert settled_videos([*parts, *others]) == {"a", "b"}
    assert {video: len(rows) for video, rows in rows_by_video([*parts, *others]).items()} == {"a": 2, "b": 1}
