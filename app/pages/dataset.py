"""One dataset: its clips and captions, and the way to make training data of them."""

from pathlib import Path
from typing import Any

import gradio as gr

from app import (
    base_models,
    chrome,
    clip_cards,
    dataset_cards,
    forms,
    job_cards,
    navigation,
    presets,
    training_data,
    verdicts,
    words,
)
from app.errors import readable
from app.widgets.clip_grid import clip_grid
from app.widgets.rejected import rejected_clips
from fastvideo_engine.errors import DataError, ModelError
from fastvideo_engine.specs import PreprocessSpec
from fastvideo_engine.specs.base import is_folder
from worker.store import artifacts, datasets, intake, jobs
from worker.store.tables import Job, JobStatus

TITLE, PATH = "Dataset", "/dataset"
_CHANGING = (gr.Dropdown, gr.Number, gr.Slider, gr.Textbox, gr.Checkbox)


def build(page: gr.Blocks) -> None:
    chrome.draw(page, "Datasets")
    dataset_id = gr.Number(visible=False, precision=0)
    address = gr.Textbox(visible="hidden")
    heading = gr.HTML()
    with gr.Column(visible=False) as found, gr.Tabs() as tabs:
        with gr.Tab("Clips", id="clips"):
            notices, grid = _build_clips(dataset_id, heading)
        with gr.Tab("Preprocess", id="preprocess") as preprocessing:
            earlier = _build_preprocess(preprocessing, dataset_id, address)
        with gr.Tab("Settings", id="settings"):
            name = _build_settings(dataset_id, heading, address)
    importing = gr.Timer(2, active=False)
    shown = [heading, notices, grid, earlier, importing]
    opened = page.load(open_page, outputs=[dataset_id, found, tabs, name], **chrome.QUIET)
    opened.then(show, dataset_id, shown, **chrome.QUIET)
    importing.tick(show, dataset_id, shown, **chrome.POLLED)
    address.change(None, inputs=address, js=navigation.GO_TO)


def _build_clips(dataset_id: gr.Number, heading: gr.HTML) -> tuple[gr.HTML, gr.HTML]:
    files = gr.File(label="More clips or captions", file_count="multiple", height=130, elem_id="more-files")
    notices = gr.HTML(elem_classes="fvs-notices")
    grid = clip_grid(on_caption=save_caption, on_remove=remove_clip)
    files.upload(add_files, [dataset_id, files], [notices, grid, files], api_visibility="private")
    grid.change(heading_of, dataset_id, heading, **chrome.POLLED)
    return notices, grid


def _build_preprocess(tab: gr.Tab, dataset_id: gr.Number, address: gr.Textbox) -> gr.HTML:
    offered = presets.of_kind("preprocess")
    preset = forms.preset_input(offered)
    form = forms.draw(PreprocessSpec, special={"model": base_models.draw}, fixed={"source": training_data.MANIFEST})
    verdict = gr.HTML(elem_classes="fvs-notices")
    unusable = rejected_clips(visible=False)
    launch = gr.Button("Preprocess", variant="primary", elem_classes="fvs-quiet")
    form.explain_beside(launch, fits_the_family)
    earlier = gr.HTML()
    form.follow(preset, offered)
    launch.click(
        form.handler(preprocess),
        [*form.components, dataset_id],
        address,
        validator=form.validator(fits_the_family),
        **chrome.QUIET,
    )
    gr.on(
        [
            *(component.change for component in form.components if isinstance(component, _CHANGING)),
            earlier.change,
            tab.select,
        ],
        form.handler(judge),
        [*form.components, dataset_id],
        [verdict, unusable],
        trigger_mode="always_last",
        **chrome.POLLED,
    )
    return earlier


def _build_settings(dataset_id: gr.Number, heading: gr.HTML, address: gr.Textbox) -> gr.Textbox:
    name = gr.Textbox(label="Name", max_length=120, submit_btn="Rename")
    delete = gr.Button("Delete this dataset", elem_classes="fvs-quiet")
    gr.HTML('<p class="fvs-hint">Only a dataset without clips can be deleted; remove its clips first.</p>')
    name.submit(rename, [dataset_id, name], heading, **chrome.QUIET)
    delete.click(forget, dataset_id, address, **chrome.QUIET)
    return name


def open_page(request: gr.Request) -> tuple[int | None, Any, gr.Tabs, str]:
    dataset = datasets.get(navigation.id_from(request) or 0)
    tab = request.query_params.get("tab", "clips")
    if dataset is None:
        return None, gr.update(visible=False), gr.Tabs(), ""
    return dataset.id, gr.update(visible=True), gr.Tabs(selected=tab), dataset.name


@readable
def show(dataset_id: int | None) -> tuple[Any, ...]:
    """Show all that may change while clips are coming in."""
    dataset = datasets.get(dataset_id) if dataset_id else None
    if dataset is None or dataset.id is None:
        lost = chrome.heading("There is no such dataset", "It may have been deleted; look in Datasets.")
        return lost, "", gr.skip(), "", gr.Timer(active=False)
    asked = jobs.newest(["preprocess", "import"], dataset_id=dataset.id)
    newest_import = next((job for job in asked if job.kind == "import"), None)
    told = "".join(chrome.notice("warning", sentence) for sentence in dataset.notices)
    return (
        heading_of(dataset.id),
        (_import_notice(newest_import) if newest_import else "") + told,
        clip_cards.of_clips(datasets.clips(dataset.id)),
        job_cards.table(asked, "Earlier jobs of this dataset"),
        gr.Timer(active=newest_import is not None and not newest_import.is_over),
    )


@readable
def heading_of(dataset_id: int) -> str:
    card = datasets.card(dataset_id)
    return chrome.heading(card.dataset.name, dataset_cards.facts(card)) if card else ""


@readable
def add_files(dataset_id: int, files: list[str]) -> tuple[str, dict[str, Any], None]:
    taken = intake.take_in(dataset_id, [(Path(file), Path(file).name) for file in files])
    told = [chrome.notice("warning", sentence) for sentence in taken.notices]
    if taken.added or taken.captioned:
        added = f"{words.count(taken.added, 'clip')} added, {words.count(taken.captioned, 'caption')} given."
        told.insert(0, chrome.notice("info", added))
    return "".join(told), clip_cards.of_clips(datasets.clips(dataset_id)), None


@readable
def rename(dataset_id: int, name: str) -> str:
    if not name.strip():
        raise DataError("A dataset needs a name; write one.")
    datasets.rename(dataset_id, name)
    return heading_of(dataset_id)


@readable
def forget(dataset_id: int) -> str:
    """Delete a dataset without clips; return the address to go to."""
    if not datasets.forget_empty(dataset_id):
        raise DataError("This dataset still has clips; remove them under Clips first.")
    return "/datasets"


def save_caption(clip_id: int, caption: str, before: str) -> dict[str, Any]:
    """Keep a caption; the last one to write wins, and is told when that was over another window's words."""
    replaced = datasets.set_caption(clip_id, caption)
    if replaced is None:
        return {"ok": False, "error": "This clip was removed in another window; reload the page."}
    if replaced not in (before.strip(), caption.strip()):
        return {"ok": True, "notice": f"Saved over what another window wrote: “{replaced}”"}
    return {"ok": True}


def remove_clip(clip_id: int) -> dict[str, Any]:
    datasets.remove_clip(clip_id)
    return {"ok": True}


def fits_the_family(settings: forms.Settings) -> dict[str, str]:
    """Say which fields do not fit the chosen model, before a job is started."""
    try:
        family = base_models.family(settings["model"])
    except ModelError as error:
        return {"model": str(error)}
    known = is_folder(settings["model"])  # what a model on the hub can do, the engine sees when it has fetched it
    workload = family.workload_problem(settings["workload"]) if known else None
    wrong = {"workload": workload} if workload else {}
    return {**family.problems(settings["height"], settings["width"], settings["frames"]), **wrong}


def judge(settings: forms.Settings, dataset_id: int | None) -> tuple[str, Any]:
    """Say how many clips these settings would take, and which they would leave out."""
    left_out = verdicts.left_out(dataset_id, settings) if dataset_id else None
    if left_out is None or dataset_id is None:
        return "", gr.update(visible=False)
    all_clips = len(datasets.clips(dataset_id))
    taken = f"{all_clips - len(left_out)} of {words.count(all_clips, 'clip')} can be used with these settings."
    rows = [{"name": name, "reason": reason} for name, reason in left_out]
    return chrome.notice("info", taken), gr.update(value={"clips": rows}, visible=bool(rows))


def preprocess(settings: forms.Settings, dataset_id: int) -> str:
    """Queue the preprocessing of a dataset as it is now; return the address of the job's page."""
    job = training_data.preprocess({**settings, "model": base_models.as_typed(settings["model"])}, dataset_id)
    return navigation.run(job.id)


def _import_notice(job: Job) -> str:
    link = ("See the import", navigation.run(job.id))
    if job.status == JobStatus.FAILED:
        return chrome.notice("error", f"The import failed: {job.message}", link)
    if not job.is_over:
        return chrome.notice("info", f"{job_cards.headline(job)} …", link)
    left_out = artifacts.rejected_by(job.id or 0)
    if left_out:
        rows = f"{words.count(len(left_out), 'row')} of the imported dataset could not be used"
        return chrome.notice("warning", f"{rows}; the first, {left_out[0].clip}: {left_out[0].reason}", link)
    return ""
