"""Datasets: all of them, and the two ways to make one."""

from pathlib import Path
from typing import Any

import gradio as gr

from app import chrome, clip_cards, dataset_cards, forms, navigation, try_it, words
from app.errors import readable
from app.widgets.clip_grid import clip_grid
from fastvideo_engine.errors import DataError
from fastvideo_engine.specs import ImportSpec, spec_from
from fastvideo_engine.specs.base import anchored_folder
from worker import queue
from worker.store import artifacts, datasets, intake, jobs

TITLE, PATH = "Datasets", "/datasets"
_PREVIEWED_ROWS = 4


def build(page: gr.Blocks) -> None:
    chrome.draw(page, "Datasets")
    gr.HTML(chrome.heading("Datasets", "Clips and captions that a model can learn from."))
    address = gr.Textbox(visible="hidden")
    with gr.Tabs():
        with gr.Tab("Upload clips"):
            _build_upload(address)
        with gr.Tab("Hugging Face dataset"):
            _build_import(address)
    try_it.draw(page, address)
    cards = gr.HTML()
    page.load(show_cards, outputs=cards, **chrome.QUIET)
    address.change(None, inputs=address, js=navigation.GO_TO)


def _build_upload(address: gr.Textbox) -> None:
    gr.HTML(
        '<p class="fvs-hint">Drop video files, and with them <code>videos2caption.json</code> or a <code>.txt</code> '
        "caption beside each, if you have them. Captions can also be typed afterwards.</p>"
    )
    files = gr.File(
        label="Clips",
        file_count="multiple",
        height=150,
        elem_id="new-dataset-files",
    )
    files.upload(create_from_files, inputs=files, outputs=[address, files], api_name="create_dataset")


def _build_import(address: gr.Textbox) -> None:
    form = forms.draw(ImportSpec, fixed={"processes": 1})
    with gr.Row(elem_classes="fvs-actions"):
        preview = gr.Button("Preview rows", elem_classes="fvs-quiet")
        bring_in = gr.Button("Import", variant="primary", elem_classes="fvs-quiet")
    preview_job = gr.Number(visible=False, precision=0)
    told = gr.HTML()
    grid = clip_grid(clip_cards.of_preview([]), on_caption=_read_only, on_remove=_read_only, visible=False)
    timer = gr.Timer(1, active=False)
    checked = {"validator": form.validator(no_more_rules), **chrome.QUIET}
    preview.click(form.handler(start_preview), form.components, [preview_job, told, timer], **checked)
    bring_in.click(form.handler(start_import), form.components, address, **checked)
    timer.tick(show_preview, preview_job, [grid, told, timer], **chrome.POLLED)


@readable
def create_from_files(files: list[str]) -> tuple[str, None]:
    """Make a dataset from uploaded files, named after the first; return the address of its page."""
    videos = [Path(file) for file in files if Path(file).suffix.lower() not in (".json", ".txt")]
    if not videos:
        raise DataError("Drop the videos too: captions alone make no dataset.")
    dataset = datasets.create(videos[0].stem if len(videos) == 1 else f"Dataset of {words.count(len(videos), 'clip')}")
    assert dataset.id is not None
    intake.take_in(dataset.id, [(Path(file), Path(file).name) for file in files])
    return navigation.dataset(dataset.id), None


def start_preview(settings: forms.Settings) -> tuple[int | None, str, gr.Timer]:
    spec = spec_from({**_anchored(settings), "limit": _PREVIEWED_ROWS})
    job = queue.enqueue(spec, f"Preview of {settings['dataset']}")
    return job.id, chrome.notice("info", "Reading the first rows …"), gr.Timer(active=True)


def start_import(settings: forms.Settings) -> str:
    dataset = datasets.create(Path(settings["dataset"]).name)
    job = queue.enqueue(spec_from(_anchored(settings)), f"Import of {settings['dataset']}", dataset_id=dataset.id)
    return navigation.run(job.id)


def show_preview(job_id: int) -> tuple[Any, str, gr.Timer]:
    job = jobs.get(job_id)
    assert job is not None
    rows = artifacts.of_job(job_id, "clip")
    told = {
        "queued": chrome.notice("info", "Waiting for a worker …"),
        "failed": chrome.notice("error", job.message),
    }.get(job.status.value, "")
    for row in artifacts.rejected_by(job_id):
        told += chrome.notice("warning", f"{row.clip} would be left out: {row.reason}")
    if job.status == "running":
        told = chrome.notice("info", f"{job.phase or 'Reading the first rows'} …")
    return gr.update(value=clip_cards.of_preview(rows), visible=bool(rows)), told, gr.Timer(active=not job.is_over)


def show_cards() -> str:
    cards = datasets.cards()
    if not cards:
        told = "<h2>No datasets yet</h2><p>Drop a handful of clips above to make the first.</p>"
        return f'<div class="fvs-empty">{told}</div>'
    return f'<div class="fvs-cards">{"".join(dataset_cards.draw(card) for card in cards)}</div>'


def _anchored(settings: forms.Settings) -> forms.Settings:
    return {**settings, "dataset": anchored_folder(settings["dataset"].strip(), Path.cwd())}


def no_more_rules(_settings: forms.Settings) -> dict[str, str]:
    return {}


def _read_only(*_: Any) -> dict[str, Any]:
    return {"ok": False, "error": "Import the dataset first; captions are edited there."}
