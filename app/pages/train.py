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
from worker import queue

TITLE, PATH = "Train", "/train"
_METHODS = {"lora": "LoRA", "full": "Finetune"}
_SUGGESTED_PROMPTS = 2
_ADVANCED = (
    *("workload", "experts", "latent_frames", "gradient_accumulation", "precision", "seed", "ema_decay", "processes"),
    *(f"tuning.lora.{name}" for name in ("targets", "dropout", "rank_stabilized", "weight_decomposed", "init_from")),
    *(f"flow.{name}" for name in ("logit_mean", "logit_std", "mode_scale")),
    *(f"optimizer.{name}" for name in ("weight_decay", "max_gradient_norm", "max_skipped_steps")),
    *(f"optimizer.{name}" for name in ("final_fraction", "beta1", "beta2", "epsilon")),
    *(f"validation.{name}" for name in ("file", "height", "width", "held_out_clips", "negative_prompt", "seed")),
)
_FILES = (("validation", "images"), ("validation", "file"), ("tuning", "init_from"))
"""Settings that name files, one or a list of them."""


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
        advanced=_ADVANCED,
    )
    launch = gr.Button("Start training", variant="primary", elem_classes="fvs-quiet")
    form.explain_beside(launch, can_be_trained)
    form.follow(preset, offered)
    model, parquet, images = (form.inputs[name] for name in ("model", "parquet", "validation.images"))
    assert isinstance(parquet, gr.Dropdown)
    assert isinstance(model, gr.Dropdown)
    page.load(offer_parquet, outputs=[parquet, missing], **chrome.QUIET)
    suggested = [preset, model, form.inputs["validation.prompts"], images]
    parquet.change(of_parquet, [parquet, preset], suggested, **chrome.QUIET)
    gr.on([page.load, model.change], images_of, model, images, **chrome.QUIET)
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


def of_parquet(parquet: str | None, preset: str) -> tuple[Any, Any, Any, Any]:
    """Choose the model that the data was made for and a preset for it; suggest the first clips for validation.

    Of those the captions become prompts, and the clips give the first frames where the data was made for images.
    """
    data = training_data.chosen(parquet)
    if data is None:
        return gr.skip(), gr.skip(), gr.skip(), gr.skip()
    clips = training_data.examples(data, _SUGGESTED_PROMPTS)
    prompts = "\n".join(clip.caption for clip in clips)
    if data.preprocessing is None:
        return gr.skip(), gr.skip(), prompts, ""
    model = data.preprocessing.spec["model"]
    made_for_images = data.preprocessing.spec["workload"] == "i2v"
    images = [training_data.seen_from_a_run(clip.file) for clip in clips] if made_for_images else []
    return _preset_for(model, preset) or gr.skip(), model, prompts, "\n".join(images)


def _preset_for(model: str, current: str) -> str | None:
    """Name the first preset for a model; None when there is none, or the current one is for it."""
    titles = [preset.title for preset in presets.of_kind("train") if preset.settings["model"] == model]
    return None if current in titles else next(iter(titles), None)


def images_of(model: str | None) -> Any:
    """Ask for first frames only where a model can begin with them."""
    return gr.update(visible=True if base_models.may_take_images(model or "") else "hidden")


def can_be_trained(values: forms.Settings) -> dict[str, str]:
    """Say which fields name something that is not there, before a job is started."""
    problems: dict[str, str] = {}
    try:
        problems |= _misfits(base_models.family(values["model"]), values)
    except ModelError as error:
        problems["model"] = str(error)
    parquet = _parquet_problem(values["parquet"], values["model"])
    return problems | ({"parquet": parquet} if parquet else {}) | _missing_files(values)


def _parquet_problem(parquet: str, model: str) -> str | None:
    data = training_data.chosen(parquet)
    if data and data.preprocessing is None:
        return training_data.preprocessing_problem(data, model)
    if data and not data.is_ready:
        return None
    for folder in _folders_in(parquet):
        there = training_data.seen_from_here(folder.path)
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


def _missing_files(values: forms.Settings) -> dict[str, str]:
    missing = {}
    for part, name in _FILES:
        for path in _listed(values.get(part, {}).get(name)):
            if not training_data.seen_from_here(_from_anywhere(path)).is_file():
                variant = f"{values[part]['method']}." if part == "tuning" else ""
                missing[f"{part}.{variant}{name}"] = f"There is no file {path}; check the path."
    return missing


def train(values: forms.Settings) -> str:
    """Queue a training, and the preprocessing that it needs where there is none yet; return its page's address."""
    values = {**_with_files_from_anywhere(values), "model": base_models.as_typed(values["model"])}
    data = training_data.chosen(values["parquet"])
    if data is None:
        folders = [folder.anchored(Path()) for folder in _folders_in(values["parquet"])]
        title = _title(values, ", ".join(Path(folder.path).name for folder in folders))
        return navigation.run(queue.enqueue(spec_from({**values, "parquet": folders}), title).id)
    source = data.preprocessing or training_data.preprocess_for(values["model"], data.dataset_id or 0)
    spec = spec_from({**values, "parquet": training_data.made_by(source)})
    job = queue.enqueue(spec, _title(values, source.title), dataset_id=source.dataset_id, parent_id=source.id)
    return navigation.run(job.id)


def _with_files_from_anywhere(values: forms.Settings) -> forms.Settings:
    for part, name in _FILES:
        held = values.get(part, {}).get(name)
        if held:
            found = [_from_anywhere(path) for path in _listed(held)] if isinstance(held, list) else _from_anywhere(held)
            values = {**values, part: {**values[part], name: found}}
    return values


def _from_anywhere(path: str) -> str:
    """Make a path that someone typed independent of where the studio was started; those of this home stay."""
    return path if path.startswith("../") else str(Path(path).expanduser().resolve())


def _listed(paths: str | list[str] | None) -> list[str]:
    named = paths if isinstance(paths, list) else [paths or ""]
    return [path for path in named if path.strip()]


def _title(values: forms.Settings, data: str) -> str:
    return f"{_METHODS[values['tuning']['method']]} on {data}"
