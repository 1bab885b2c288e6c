"""Metrics in a tracker, with a stand-in for the package, and the sentence where it is missing."""

import json
import sys

import pytest

from fastvideo_engine.errors import SpecError
from fastvideo_engine.specs import Tracking
from fastvideo_engine.training.loop import run

_STAND_IN = """
import json
from pathlib import Path

calls = []
def init(**settings): calls.append(["init", settings])
def log(metrics, step): calls.append(["log", step, sorted(metrics)])
def finish(): calls.append(["finish"]); Path(__file__).with_name("calls.json").write_text(json.dumps(calls))
"""


@pytest.mark.parametrize("tracker", ["trackio", "wandb"])
def test_a_tracker_gets_the_spec_and_the_metrics_of_each_step(train_spec, run_folder, tmp_path, monkeypatch, tracker):
    (tmp_path / f"{tracker}.py").write_text(_STAND_IN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, tracker, raising=False)
    spec = train_spec(steps=2, tracking=Tracking(tracker=tracker, project="tests"))
    run(spec, run_folder("seven"))
    monkeypatch.delitem(sys.modules, tracker)
    (_, settings), *logged, finished = json.loads((tmp_path / "calls.json").read_text())
    assert (settings["project"], settings["name"], settings["resume"]) == ("tests", "seven", "allow")
    assert settings.get("id") == ("seven" if tracker == "wandb" else None)
    assert settings["config"] == spec.model_dump(mode="json")
    names = ["gradient_norm", "learning_rate", "loss", "seconds_per_step"]
    assert [*logged, finished] == [["log", 1, names], ["log", 2, names], ["finish"]]


def test_a_tracker_that_is_not_installed_is_said_with_the_cure(train_spec, run_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(SpecError, match=r"The tracker wandb is not installed; run `pip install wandb`, or set"):
        run(train_spec(tracking=Tracking(tracker="wandb")), run_folder())
