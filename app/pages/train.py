"""Train: which data, which method, how long, and what to judge it by."""

import os
from pathlib import Path
from typing import Any

import gradio as gr

from app import base_models, chrome, forms, navigation, presets, words
from fastvideo_engine.errors import ModelError
from fastvideo_engine.specs import TrainSpec, spec_from
from worker import queue, settings
from worker.store import artifacts, datasets, jobs
from worker.store.tables import Artifact

TITLE, PATH = "Train", "/train"
_METHODS = {"lora": "LoRA", "full": "Finetune"}


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
    """List what was preprocessed, and choose what the address names, else the newest."""
    found = artifacts.of_kind("parquet")
    if not found:
        told = "No training data yet: open a dataset and press Preprocess, or give a folder of Parquet below."
        return gr.Dropdown(choices=[]), chrome.notice("info", told)
    asked = navigation.id_from(request, "parquet")
    chosen = next((artifact for artifact in found if artifact.job_id == asked), found[0])
    return gr.Dropdown(
        choices=[(_title(artifact), _seen_from_a_run(artifact)) for artifact in found], value=_seen_from_a_run(chosen)
    ), ""


def of_parquet(parquet: str | None) -> tuple[Any, Any]:
    """Choose the model that the data was made for, and suggest its first captions as validation prompts."""
    artifact = _artifact_of(parquet)
    if artifact is None:
        return gr.skip(), gr.skip()
    job = jobs.get(artifact.job_id)
    clips = datasets.clips(job.dataset_id) if job and job.dataset_id else []
    captions = list(dict.fromkeys(clip.caption for clip in clips if clip.caption and not clip.problem))
    return (job.spec["model"] if job else gr.skip()), "\n".join(captions[:2])


def can_be_trained(values: forms.Settings) -> dict[str, str]:
    """Say which fields name something that is not there, before a job is started."""
    problems = {}
    try:
        base_models.family(values["model"])
    except ModelError as error:
        problems["model"] = str(error)
    folder = settings.runs() / "0" / Path(values["parquet"]).expanduser()
    if not folder.resolve().is_dir():
        problems["parquet"] = f"There is no folder {values['parquet']}; choose one of the list, or type a path."
    elif not any(folder.resolve().rglob("*.parquet")):
        problems["parquet"] = f"There is no Parquet in {values['parquet']}; choose what preprocessing made."
    return problems


def train(values: forms.Settings) -> str:
    """Queue a training; return the address of its page."""
    artifact = _artifact_of(values["parquet"])
    parquet = values["parquet"] if artifact else str(Path(values["parquet"]).expanduser().resolve())
    spec = spec_from({**values, "parquet": parquet, "model": base_models.as_typed(values["model"])})
    source = jobs.get(artifact.job_id) if artifact else None
    title = f"{_METHODS[values['tuning']['method']]} on {source.title if source else Path(parquet).name}"
    job = queue.enqueue(
        spec, title, dataset_id=source.dataset_id if source else None, parent_id=source.id if source else None
    )
    return navigation.run(job.id)


def _title(artifact: Artifact) -> str:
    facts, job = artifact.facts, jobs.get(artifact.job_id)
    shape = f"{facts['height']}×{facts['width']}×{facts['frames']}"
    return f"#{artifact.job_id} {job.title if job else ''} · {words.count(facts['clips'], 'clip')} · {shape}"


def _seen_from_a_run(artifact: Artifact) -> str:
    return os.path.relpath(artifact.file, settings.runs() / "0")


def _artifact_of(parquet: str | None) -> Artifact | None:
    return next((artifact for artifact in artifacts.of_kind("parquet") if _seen_from_a_run(artifact) == parquet), None)
