"""What may be wanted of a running training: a checkpoint or samples at once, and other prompts from now on."""

import json

import pytest

from fastvideo_engine.events import ArtifactMade, Note
from fastvideo_engine.specs import Saving, Validation
from fastvideo_engine.training.loop import run

PROMPTS = Validation(prompts=["a red ball", "waves"], every=2, sampling_steps=1, guidance_scale=1)


def _samples(events):
    return [(made.step, made.facts["prompt"]) for made in events if made.kind == "sample"]


def _edit(folder, content):
    folder.edited_validation.write_text(content if isinstance(content, str) else json.dumps({"data": content}))


@pytest.mark.parametrize("wish", ["save", "sample"])
def test_a_wish_is_granted_once_at_the_next_step(train_spec, run_folder, events_of, wish):
    folder = run_folder()
    folder.ask_for(wish)
    validation = PROMPTS.model_copy(update={"every": 10})
    run(train_spec(steps=3, saving=Saving(every=10), validation=validation), folder)
    made = [(each.kind, each.step) for each in events_of(folder, ArtifactMade) if each.step in (1, 2)]
    assert made == ([("adapter", 1)] if wish == "save" else [("sample", 1), ("sample", 1)])
    assert not folder.is_asked_for(wish)


def test_edited_prompts_are_sampled_from_the_next_validation_on(train_spec, run_folder, events_of):
    folder = run_folder()
    run(train_spec(steps=2, validation=PROMPTS), folder)
    _edit(folder, [{"caption": "a cat", "num_inference_steps": 1, "height": 32}])
    run(train_spec(steps=4, validation=PROMPTS), folder)
    run(train_spec(steps=4, validation=PROMPTS), folder)  # which has nothing left to do
    samples = _samples(events_of(folder, ArtifactMade))
    assert samples == [(0, "a red ball"), (0, "waves"), (2, "a red ball"), (2, "waves"), (4, "a cat")]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[", "is not readable as JSON"),
        ([{"caption": "a cat", "num_frames": 10}], "takes 4k+1 frames"),
    ],
)
def test_an_edit_that_does_not_hold_is_said_and_changes_nothing(train_spec, run_folder, events_of, content, told):
    folder = run_folder()
    _edit(folder, content)
    run(train_spec(steps=1, validation=PROMPTS), folder)
    assert _samples(events_of(folder, ArtifactMade)) == [
        (0, "a red ball"),
        (0, "waves"),
        (1, "a red ball"),
        (1, "waves"),
    ]
    assert all(note.text.startswith("The validation prompts stay as they were: ") for note in events_of(folder, Note))
    assert told in events_of(folder, Note)[0].text


def test_prompts_may_come_to_a_run_that_began_without(train_spec, run_folder, events_of):
    folder = run_folder()
    run(train_spec(steps=1), folder)
    _edit(folder, [{"caption": "a cat", "num_inference_steps": 1}])
    run(train_spec(steps=2), folder)
    assert _samples(events_of(folder, ArtifactMade)) == [(2, "a cat")]
