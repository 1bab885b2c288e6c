"""Whole runs with sparse attention: resuming, what is saved, and that it is found again by training and sampling."""

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fastvideo_engine.attention.stored import gates, gates_of_adapter, gates_of_transformer
from fastvideo_engine.distributed import Ranks
from fastvideo_engine.errors import ModelError, SpecError
from fastvideo_engine.events import ArtifactMade, Note, Progress
from fastvideo_engine.families import FAMILIES
from fastvideo_engine.media import read_rgb_frames
from fastvideo_engine.sampling import generate
from fastvideo_engine.specs import Full, GenerateSpec, Lora, TrainSpec, Validation, Vsa
from fastvideo_engine.training.loop import run
from fastvideo_engine.training.tuning import load_to_train

ALONE = Ranks(0, 1, torch.device("cpu"))
SPARSE = Vsa(sparsity=0.5, rise=0.2)
TUNINGS = pytest.mark.parametrize("tuning", [Lora(rank=4, alpha=8), Full()], ids=["lora", "full"])
LOOK = {"sampling_steps": 2, "guidance_scale": 3.0, "seed": 5}


@pytest.fixture
def model_with(tiny_wan, tmp_path):
    """Put a trained transformer in the place of the base model's."""

    def make(transformer):
        model = tmp_path / "model"
        shutil.copytree(tiny_wan, model, ignore=lambda *_: ["transformer"])
        shutil.copytree(transformer, model / "transformer")
        return str(model)

    return make


@pytest.fixture
def sparse_run(train_spec, run_folder):
    """Train with sparse attention and return the run's folder and newest checkpoint."""

    def train(name="run", **changes):
        folder = run_folder(name)
        run(train_spec(attention=SPARSE, **changes), folder)
        return folder, folder.newest_checkpoint()

    return train


def _weights(checkpoint):
    state = torch.load(checkpoint.training_state, weights_only=True)
    whole = checkpoint.transformer("transformer") / "diffusion_pytorch_model.safetensors"
    return load_file(whole) if whole.exists() else state["weights"]


def _video(path):
    return np.stack(list(read_rgb_frames(path, range(5)))).astype(float)


@TUNINGS
def test_resuming_while_sparsity_rises_gives_the_same_weights_as_never_stopping(sparse_run, events_of, tuning):
    folder, straight = sparse_run("straight", tuning=tuning, steps=3)
    sparse_run("resumed", tuning=tuning, steps=2)
    _, resumed = sparse_run("resumed", tuning=tuning, steps=3)
    ours, theirs = _weights(straight), _weights(resumed)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    rising = [event.metrics["sparsity"] for event in events_of(folder, Progress)]
    assert rising == [0.2, 0.4, 0.5]
    assert events_of(folder, Note)[0].text == "Sparse attention runs on plain PyTorch."
    lora = isinstance(tuning, Lora)
    stored = gates_of_adapter(straight.adapter) if lora else gates_of_transformer(straight.transformer("transformer"))
    assert (len(stored.weights), stored.sparsity) == (4, 0.5)  # a weight and a bias in each of two blocks
    assert all(weight.abs().sum() > 0 for weight in stored.weights.values())


def test_training_goes_on_from_a_model_with_gates_and_refuses_to_leave_them_out(sparse_run, model_with, train_spec):
    _, checkpoint = sparse_run(tuning=Full(), steps=1)
    spec: TrainSpec = train_spec(model=model_with(checkpoint.transformer("transformer")), attention=SPARSE)
    model = checkpoint.path.parents[2] / "model"
    transformer = load_to_train(model, "transformer", FAMILIES[0], spec, ALONE)
    for name, weight in gates_of_transformer(checkpoint.transformer("transformer")).weights.items():
        assert torch.equal(gates(transformer)[name], weight)
        assert gates(transformer)[name].requires_grad
    with pytest.raises(ModelError, match="set the attention to vsa"):
        load_to_train(model, "transformer", FAMILIES[0], train_spec(model=spec.model), ALONE)


@pytest.mark.slow
@TUNINGS
def test_generating_gives_the_video_that_the_runs_own_last_validation_gave(
    sparse_run, model_with, run_folder, tiny_wan, tuning, events_of
):
    validation = Validation(prompts=["a red ball"], every=100, **LOOK)
    folder, checkpoint = sparse_run(tuning=tuning, steps=4, validation=validation)
    lora = isinstance(tuning, Lora)
    model = str(tiny_wan) if lora else model_with(checkpoint.transformer("transformer"))
    adapter = str(checkpoint.adapter) if lora else None
    seen = events_of(folder, ArtifactMade)[0].facts
    shape = {name: seen[name] for name in ("height", "width", "frames")}
    spec = GenerateSpec(model=model, adapter=adapter, prompts=["a red ball"], **shape, **LOOK)
    sampled = run_folder("sampled")
    generate.run(spec, sampled)
    expected = _video(folder.sample(4, 0))
    assert events_of(sampled, Note)[0].text == "Sparse attention runs on plain PyTorch."
    other = run_folder("other")
    generate.run(spec.model_copy(update={"sparsity": 0.0}), other)
    like, unlike = (np.abs(_video(made.sample(0, 0)) - expected).mean() for made in (sampled, other))
    assert like < unlike / 2  # and not 0: compression of the same frames may differ a little


def test_a_sparsity_for_weights_without_gates_is_refused(run_folder, tiny_wan):
    spec = GenerateSpec(model=str(tiny_wan), prompts=["x"], height=64, width=96, frames=5, sparsity=0.5)
    with pytest.raises(SpecError, match="leave the sparsity empty"):
        generate.run(spec, run_folder())
