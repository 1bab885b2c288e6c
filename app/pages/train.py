"""Train: which data, which method, how long, and what to judge it by."""

from pathlib import Path
from typing import Any

import gradio as gr

from app import base_models, chrome, forms, navigation, presets, training_data
from fastvideo_engine.errors import ModelError
from fastvideo_engine.families import Family
from fastvideo_engine.specs import ParquetFolder, TrainSpec, spec_from
from fastvideo_engine.specs.base import is_folder
from fastvideo_engine.specs.parquet import folders_from
from worker import queue, settings

TITLE, PATH = "Train", "/train"
_METHODS = {"lora": "LoRA", "full": "Finetune"}
_SUGGESTED_PROMPTS = 2


def build(page: gr.Blocks) -> None:
    chrome.draw(page, "Train")
    gr.HTML(chrome.heading("Train", "Teach a base model what your clips show."))
    address = gr.Textbox(visible="hidden")
    missing = gr.HTML()
    offered = presets.of_kind("train")
    preset = forms.preset_input(offered)
    form = forms.draw(
        TrainSpec,
        special={"model": base_models.draw, "parquet": _parquet_input},
        open_parts=("tuning", "optimizer", "validation"),
    )
    launch = gr.Button("Start training", variant="primary", elem_classes="fvs-quiet")
    form.explain_beside(launch, can_be_trained)
    form.follow(preset, offered)
    parquet = form.inputs["parquet"]
    assert isinstance(parquet, gr.Dropdown)
    page.load(offer_parquet, outputs=[parquet, missing], **chrome.QUIET)
    parquet.change(
        of_parquet,
        parquet,
        [form.inputs["model"], form.inputs["validation.prompts"]],
        **chrome.QUIET,
    )
    launch.click(
        form.handler(train),
        form.components,
        address,
        validator=form.validator(can_be_trained),
        **chrome.QUIET,
    )
    address.change(None, inputs=address, js=navigation.GO_TO)


def _parquet_input(field: Any) -> gr.Dropdown:
    return gr.Dropdown([], label=field.title, info=field.description, allow_custom_value=True, min_width=320)


def offer_parquet(request: gr.Request) -> tuple[gr.Dropdown, str]:
    """List what can be trained on, and choose what the address names, else the first that is ready."""
    offered = training_data.offered()
    if not offered:
        told = "No training data yet: make a dataset, or give a folder of Parquet below."
        return gr.Dropdown(choices=[]), chrome.notice("info", told, ("Datasets", "/datasets"))
    asked = navigation.id_from(request, "parquet")
    chosen = next((data for data in offered if asked and data.preprocessing and data.preprocessing.id == asked), None)
    return gr.Dropdown(choices=[(data.title, data.value) for data in offered], value=(chosen or offered[0]).value), ""


def of_parquet(parquet: str | None) -> tuple[Any, Any]:
    """Choose the model that the data was made for, and suggest its first captions as validation prompts."""
    data = training_data.chosen(parquet)
    if data is None:
        return gr.skip(), gr.skip()
    model = data.preprocessing.spec["model"] if data.preprocessing else gr.skip()
    return model, "\n".join(training_data.captions(data)[:_SUGGESTED_PROMPTS])


def can_be_trained(values: forms.Settings) -> dict[str, str]:
    """Say which fields name something that is not there, before a job is started."""
    problems: dict[str, str] = {}
    try:
        problems |= _misfits(base_models.family(values["model"]), values)
    except ModelError as error:
        problems["model"] = str(error)
    parquet = _parquet_problem(values["parquet"], values["model"])
    return problems | ({"parquet": parquet} if parquet else {})


def _parquet_problem(parquet: str, model: str) -> str | None:
    data = training_data.chosen(parquet)
    if data and data.preprocessing is None:
        return training_data.preprocessing_problem(data, model)
    if data and not data.is_ready:
        return None
    for folder in _folders_in(parquet):
        there = (settings.runs() / "0" / Path(folder.path).expanduser()).resolve()
        if not there.is_dir():
            return f"There is no folder {folder.path}; choose one of the list, or type a path."
        if not any(there.rglob("*.parquet")):
            return f"There is no Parquet in {folder.path}; choose what preprocessing made."
    return None


def _folders_in(parquet: str) -> list[ParquetFolder]:
    return [ParquetFolder.model_validate(folder) for folder in folders_from(parquet)]


def _misfits(family: Family, values: forms.Settings) -> dict[str, str]:
    """Say what a family cannot be asked for."""
    if not is_folder(values["model"]):  # what a model on the hub can do, the engine sees when it has fetched it
        return {}
    spec = TrainSpec.model_validate(values)
    found = {
        "workload": family.training_problem(family.trained_for(spec.workload), spec.experts),
        "validation.images": family.images_problem(spec.validation.images) if spec.validation.prompts else None,
    }
    return {field: problem for field, problem in found.items() if problem is not None}


def train(values: forms.Settings) -> str:
    """Queue a training, and the preprocessing that it needs where there is none yet; return its page's address."""
    model, data = base_models.as_typed(values["model"]), training_data.chosen(values["parquet"])
    if data is None:
        folders = [folder.anchored(Path()) for folder in _folders_in(values["parquet"])]
        spec = spec_from({**values, "model": model, "parquet": folders})
        return navigation.run(
            queue.enqueue(spec, _title(values, ", ".join(Path(each.path).name for each in folders))).id
        )
    source = data.preprocessing or training_data.preprocess_for(model, data.dataset_id or 0)
    spec = spec_from({**values, "model": model, "parquet": training_data.made_by(source)})
    job = queue.enqueue(spec, _title(values, source.title), dataset_id=source.dataset_id, parent_id=source.id)
    return navigation.run(job.id)


def _title(values: forms.Settings, data: str) -> str:
    return f"{_METHODS[values['tuning']['method']]} on {data}"
