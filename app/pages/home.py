"""Home: what to do first, what runs now, and what came out last."""

from html import escape

import gradio as gr

from app import chrome, job_cards, navigation, try_it
from worker.store import artifacts, datasets, jobs

_SHOWN_RUNS = 6


def build(page: gr.Blocks) -> None:
    chrome.draw(page, "Home")
    gr.HTML(chrome.heading("Home", "Finetune a video model on your own clips, and see what it learned."))
    address = gr.Textbox(visible="hidden")
    try_it.draw(page, address)
    checklist = gr.HTML()
    newest = gr.HTML()
    timer = gr.Timer(5)
    page.load(show, outputs=[checklist, newest], **chrome.QUIET)
    timer.tick(show, outputs=[checklist, newest], **chrome.POLLED)
    address.change(None, inputs=address, js=navigation.GO_TO)


def show() -> tuple[str, str]:
    return _checklist(), job_cards.table(jobs.newest(limit=_SHOWN_RUNS), "Newest jobs")


def _checklist() -> str:
    cards = datasets.cards()
    steps = (
        (
            "Add clips",
            "Drop video files, or pick a Hugging Face dataset.",
            "/datasets",
            any(card.clips for card in cards),
        ),
        (
            "Caption them",
            "Type beside each clip, or drop a caption file.",
            _newest_dataset(),
            any(card.captioned for card in cards),
        ),
        (
            "Preprocess",
            "Clips and captions become training data.",
            _newest_dataset("preprocess"),
            bool(artifacts.of_kind("parquet", 1)),
        ),
        ("Train a LoRA", "The bundled model needs no GPU.", "/train", bool(jobs.newest(["train"], limit=1))),
        ("Judge it", "Compare videos of each step, side by side.", "/runs", bool(artifacts.of_kind("adapter", 1))),
    )
    if all(done for *_, done in steps):
        return ""
    current = next(number for number, (*_, done) in enumerate(steps) if not done)
    items = "".join(
        f'<li class="fvs-step" data-done="{str(done).lower()}"{" aria-current=step" if number == current else ""}>'
        f'<a href="{escape(address)}"><b>{title}</b><span>{text}</span></a></li>'
        for number, (title, text, address, done) in enumerate(steps)
    )
    return f'<section class="fvs-card"><h2>First steps</h2><ol class="fvs-steps">{items}</ol></section>'


def _newest_dataset(tab: str = "") -> str:
    newest = next(iter(datasets.cards()), None)
    return navigation.dataset(newest.dataset.id, tab) if newest else "/datasets"
