"""Runs that begin from an adapter: at the first step it is what it was, and resuming needs it no more."""

import pytest
import torch

from fastvideo_engine.adapters.applied import adapter_of
from fastvideo_engine.adapters.reading import read_adapter
from fastvideo_engine.adapters.writing import write_adapter
from fastvideo_engine.errors import ModelError
from fastvideo_engine.events import Note, Progress
from fastvideo_engine.specs import Lora, Optimizer, TrainSpec
from fastvideo_engine.training.loop import run

STILL = Optimizer(learning_rate=1e-12, warmup_steps=0, weight_decay=0)


@pytest.fixture
def start(adapted_wan, tmp_path):
    """Write an adapter of rank 4 as FastVideo names it."""
    write_adapter(adapter_of(adapted_wan()), tmp_path / "start.safetensors", "fastvideo", {})
    return tmp_path / "start.safetensors"


def test_a_run_begins_with_the_adapter_it_is_given(train_spec, run_folder, start, events_of):
    folder = run_folder()
    run(train_spec(tuning=Lora(rank=6, alpha=3, init_from=str(start)), optimizer=STILL, steps=1), folder)
    wanted, got = read_adapter(start), read_adapter(folder.newest_checkpoint().adapter)
    assert got.layers.keys() == wanted.layers.keys()
    for name, layer in wanted.layers.items():
        torch.testing.assert_close(
            got.layers[name].up @ got.layers[name].down, layer.up @ layer.down, rtol=1e-4, atol=1e-5
        )
    assert events_of(folder, Note)[0].text == "The adapter to start from changes 16 weights."


def test_a_run_goes_on_without_the_adapter_it_began_with(train_spec, run_folder, start, events_of):
    straight, resumed = run_folder("straight"), run_folder("resumed")
    tuning = Lora(rank=4, alpha=8, init_from=str(start))
    run(train_spec(tuning=tuning, steps=4), straight)
    run(train_spec(tuning=tuning, steps=2), resumed)
    start.unlink()
    run(train_spec(tuning=tuning, steps=4), resumed)
    losses = [[e.metrics["loss"] for e in events_of(f, Progress) if e.metrics] for f in (straight, resumed)]
    assert losses[0] == losses[1]


def test_an_adapter_that_does_not_fit_ends_the_run_before_the_model_is_loaded(train_spec, run_folder, start):
    with pytest.raises(ModelError, match="has rank 4, but rank 2 is to be trained; set the rank to 4"):
        run(train_spec(tuning=Lora(rank=2, init_from=str(start))), run_folder())
    with pytest.raises(ModelError, match="There is no adapter at"):
        run(train_spec(tuning=Lora(init_from=str(start.with_name("nothing")))), run_folder())


def test_the_adapter_is_read_from_where_the_spec_was_written(train_spec, tmp_path):
    spec: TrainSpec = train_spec(tuning=Lora(init_from="mine/start.safetensors"))
    assert spec.anchored(tmp_path).tuning.init_from == str(tmp_path / "mine" / "start.safetensors")
