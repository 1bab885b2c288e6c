"""One dataset: its clips and captions, and the way to make training data of them."""

from pathlib import Path
from typing import Any

import gradio as gr

from app import base_models, chrome, clip_cards, forms, job_cards, navigation, presets, words
from app.errors import readable
from app.widgets.clip_grid import clip_grid
from fastvideo_engine.errors import DataError, ModelError
from fastvideo_engine.specs import Manifest, PreprocessSpec, spec_from
from worker import queue
from worker.store import datasets, intake, jobs

TITLE, PATH = "Dataset", "/dataset"
_MANIFEST = Manifest(path="manifest.jsonl").model_dump()


def build(page: gr.Blocks) -> None:
    chrome.draw("Datasets")
    with gr.Row(equal_height=True, elem_classes="fvs-heading"):
        heading = gr.HTML()
        name = gr.Textbox(
            label="Rename", placeholder="a new name", submit_btn="Rename", show_label=False, container=False
        )
    dataset_id = gr.Number(visible=False, precision=0)
    address = gr.Textbox(visible="hidden")
    with gr.Tabs() as tabs:
        with gr.Tab("Clips", id="clips"):
            grid, importing = _build_clips(dataset_id)
        with gr.Tab("Preprocess", id="preprocess"):
            earlier = _build_preprocess(dataset_id, address)
    address.change(None, inputs=address, js=navigation.GO_TO)
    shown = [heading, grid, earlier, importing]
    page.load(open_page, outputs=[dataset_id, tabs], **chrome.QUIET).then(show, dataset_id, shown, **chrome.QUIET)
    name.submit(rename, [dataset_id, name], [heading, name], **chrome.QUIET)
    importing.tick(show, dataset_id, shown, **chrome.POLLED)


def _build_clips(dataset_id: gr.Number) -> tuple[gr.HTML, gr.Timer]:
    files = gr.File(
        label="More clips or captions",
        file_count="multiple",
        height=130,
        elem_id="more-files",
    )
    notices = gr.HTML()
    grid = clip_grid(on_caption=save_caption, on_remove=remove_clip)
    importing = gr.Timer(2, active=False)
    files.upload(add_files, [dataset_id, files], [grid, notices, files], api_visibility="private")
    return grid, importing


def _build_preprocess(dataset_id: gr.Number, address: gr.Textbox) -> gr.HTML:
    offered = presets.of_kind("preprocess")
    preset = forms.preset_input(offered)
    form = forms.draw(PreprocessSpec, special={"model": base_models.draw}, fixed={"source": _MANIFEST})
    launch = gr.Button("Preprocess", variant="primary", elem_classes="fvs-quiet")
    earlier = gr.HTML()
    form.follow(preset, offered)
    launch.click(
        form.handler(preprocess),
        [*form.components, dataset_id],
        address,
        validator=form.validator(fits_the_family),
        **chrome.QUIET,
    )
    return earlier


def open_page(request: gr.Request) -> tuple[int | None, gr.Tabs]:
    return navigation.id_from(request), gr.Tabs(selected=request.query_params.get("tab", "clips"))


@readable
def show(dataset_id: int | None) -> tuple[str, dict[str, Any], str, gr.Timer]:
    card = datasets.card(dataset_id) if dataset_id else None
    if card is None or dataset_id is None:
        return (
            chrome.heading("There is no such dataset", "It may have been deleted; look in Datasets."),
            {"clips": []},
            "",
            gr.Timer(active=False),
        )
    found = jobs.newest(["preprocess", "import"], dataset_id=dataset_id)
    arriving = any(job.kind == "import" and not job.is_over for job in found)
    return (
        _heading(card),
        clip_cards.of_clips(datasets.clips(dataset_id)),
        job_cards.table(found, "Earlier jobs of this dataset"),
        gr.Timer(active=arriving),
    )


@readable
def add_files(dataset_id: int, files: list[str]) -> tuple[dict[str, Any], str, None]:
    taken = intake.take_in(dataset_id, [(Path(file), Path(file).name) for file in files])
    told = [chrome.notice("warning", sentence) for sentence in taken.notices]
    if taken.added or taken.captioned:
        added = f"{words.count(taken.added, 'clip')} added, {words.count(taken.captioned, 'caption')} given."
        told.insert(0, chrome.notice("info", added))
    return clip_cards.of_clips(datasets.clips(dataset_id)), "".join(told), None


@readable
def rename(dataset_id: int, name: str) -> tuple[str, str]:
    if name.strip():
        datasets.rename(dataset_id, name)
    card = datasets.card(dataset_id)
    return (_heading(card) if card else ""), ""


def save_caption(clip_id: int, caption: str) -> dict[str, Any]:
    if datasets.set_caption(clip_id, caption):
        return {"ok": True, "error": ""}
    return {"ok": False, "error": "This clip was removed in another window; reload the page."}


def remove_clip(clip_id: int) -> dict[str, Any]:
    datasets.remove_clip(clip_id)
    return {"ok": True, "error": ""}


def fits_the_family(settings: forms.Settings) -> dict[str, str]:
    """Say which fields do not fit the chosen model, before a job is started."""
    try:
        family = base_models.family(settings["model"])
    except ModelError as error:
        return {"model": str(error)}
    return family.problems(settings["height"], settings["width"], settings["frames"])


def preprocess(settings: forms.Settings, dataset_id: int) -> str:
    """Queue the preprocessing of a dataset as it is now; return the address of the job's page."""
    card = datasets.card(dataset_id)
    if card is None or not card.usable:
        raise DataError("This dataset has no clip that can be used; add one under Clips first.")
    spec = spec_from({**settings, "model": base_models.as_typed(settings["model"])})
    clips = [clip for clip in datasets.clips(dataset_id) if not clip.problem]
    job = queue.enqueue(spec, card.dataset.name, dataset_id=card.dataset.id, clips=clips)
    return navigation.run(job.id)


def _heading(card: datasets.DatasetCard) -> str:
    facts = [words.count(card.clips, "clip")]
    if card.clips > card.usable:
        facts.append(f"{card.clips - card.usable} unusable")
    facts.append(f"{card.captioned} of {card.usable} captioned")
    facts.append(words.lasting(card.seconds))
    return chrome.heading(card.dataset.name, " · ".join(facts))
