import gradio as gr
import pytest

from app import forms, presets
from fastvideo_engine.specs import Manifest, PreprocessSpec, TrainSpec, spec_from

TRAIN = {"model": "owner/name", "parquet": "data"}


@pytest.fixture
def train_form() -> forms.Form:
    with gr.Blocks():
        return forms.draw(TrainSpec)


def values(form: forms.Form, **changed: object) -> tuple:
    """Give what the inputs hold when only some of them were touched."""
    held = {name: component.value for name, component in form.inputs.items()} | TRAIN | changed
    return tuple(held[name] for name in form.inputs)


def refusals(form: forms.Form, *typed: object) -> list[str]:
    verdicts = form.validator(lambda settings: {})(*typed)
    return [verdict["message"] for verdict in verdicts if not verdict["is_valid"]]


def test_every_field_that_a_person_can_choose_has_an_input(train_form):
    assert {
        "model",
        "steps",
        "tuning.method",
        "tuning.lora.rank",
        "optimizer.learning_rate",
        "validation.prompts",
    } <= set(train_form.inputs)


def test_only_the_chosen_variant_of_a_union_is_asked_and_read(train_form):
    typed = values(train_form, **{"tuning.method": "full", "tuning.lora.rank": None})
    assert refusals(train_form, *typed) == []
    assert train_form.settings(typed)["tuning"] == {"method": "full"}
    typed = values(train_form, **{"tuning.method": "lora", "tuning.lora.rank": 8, "tuning.lora.alpha": 0})
    assert refusals(train_form, *typed) == ["It must be greater than 0 (it is 0)."]
    assert train_form.settings(typed)["tuning"].items() >= {"method": "lora", "rank": 8, "alpha": 0}.items()


def test_untouched_inputs_give_the_defaults_of_the_spec(train_form):
    assert spec_from(train_form.settings(values(train_form))) == spec_from({"kind": "train", **TRAIN})


def test_lines_become_a_list_and_blank_ones_vanish(train_form):
    settings = train_form.settings(values(train_form, **{"validation.prompts": "a red car\n\n a blue car "}))
    assert spec_from(settings).validation.prompts == ["a red car", "a blue car"]


def test_an_empty_field_is_asked_for_and_not_silently_replaced(train_form):
    assert refusals(train_form, *values(train_form, steps=None)) == ["Fill this in."]


def test_a_problem_in_an_accordion_is_also_said_where_it_is_seen(train_form):
    with gr.Blocks() as page:
        button = gr.Button()
        train_form.explain_beside(button, lambda settings: {})
    (explain,) = (dependency.fn for dependency in page.fns.values())
    told = explain(*values(train_form, **{"saving.keep": 0}))
    assert "Checkpoints › Keep: It must be greater than or equal to 1 (it is 0)." in told
    assert explain(*values(train_form, steps=0)) == ""  # that one stands beside its field


def test_an_optional_field_may_stay_empty(train_form):
    assert refusals(train_form, *values(train_form, **{"flow.shift": ""})) == []


def test_what_the_spec_refuses_is_said_at_its_field_with_the_value(train_form):
    (told,) = refusals(train_form, *values(train_form, steps=0))
    assert told == "It must be greater than or equal to 1 (it is 0)."


def test_a_fraction_is_not_rounded_to_a_whole_number(train_form):
    (told,) = refusals(train_form, *values(train_form, steps=17.5))
    assert "valid integer" in told


def test_the_pages_own_rules_come_after_those_of_the_spec(train_form):
    problems = train_form.problems({"kind": "train", **TRAIN}, lambda settings: {"model": "There is no such model."})
    assert problems == {"model": "There is no such model."}


def test_inputs_after_the_forms_own_reach_the_handler_and_are_never_refused(train_form):
    typed = (*values(train_form), 7)
    assert train_form.handler(lambda settings, dataset_id: dataset_id)(*typed) == 7
    assert len(train_form.validator(lambda settings: {})(*typed)) == len(typed)


def test_a_field_that_the_page_decides_has_no_input():
    source = Manifest(path="manifest.jsonl").model_dump()
    with gr.Blocks():
        form = forms.draw(PreprocessSpec, fixed={"source": source})
    assert "source" not in form.inputs
    assert form.settings(values(form, model="owner/name"))["source"] == source


@pytest.mark.parametrize("kind", ["preprocess", "train"])
def test_each_preset_makes_a_spec_that_holds(kind):
    rest = {"train": {"parquet": "x"}, "preprocess": {"source": {"type": "manifest", "path": "m"}}}[kind]
    offered = presets.of_kind(kind)
    assert len({preset.title for preset in offered}) == len(offered) >= 2
    assert all(spec_from({"kind": kind, **rest, **preset.settings}).kind == kind for preset in offered)


def test_a_preset_fills_the_inputs_that_it_names(train_form):
    offered = presets.of_kind("train")
    with gr.Blocks():
        choice = forms.preset_input(offered)
        train_form.follow(choice, offered)
    assert train_form.inputs["steps"].value == offered[0].settings["steps"]
    assert train_form.inputs["tuning.lora.rank"].value == offered[0].settings["tuning"]["rank"]
    assert train_form.inputs["optimizer.weight_decay"].value == 1e-4


def test_a_preset_leaves_nothing_of_the_one_before(train_form):
    offered = presets.of_kind("train")
    with gr.Blocks() as page:
        choice = forms.preset_input(offered)
        train_form.follow(choice, offered)
    (change,) = page.fns.values()
    names = {component._id: name for name, component in train_form.inputs.items()}

    def filled(title: str) -> dict:
        values = change.fn(next(preset.title for preset in offered if title in preset.title))
        return dict(zip((names[output._id] for output in change.outputs), values, strict=True))

    assert (filled("VSA")["attention.kind"], filled("VSA")["flow.shift"]) == ("vsa", 1)
    assert (filled("LoRA")["attention.kind"], filled("LoRA")["flow.shift"]) == ("dense", "")
    assert "parquet" not in filled("LoRA")


def test_a_problem_in_a_field_that_few_people_change_is_told_where_it_is_seen():
    with gr.Blocks() as page:
        form = forms.draw(TrainSpec, advanced=["seed"])
        button = gr.Button()
        form.explain_beside(button, lambda settings: {})
    explain = next(event.fn for event in page.fns.values() if event.fn.__name__ == "out_of_sight")
    told = explain(*values(form, seed=-1))
    assert "More settings › Seed: It must be greater than or equal to 0 (it is -1)." in told
