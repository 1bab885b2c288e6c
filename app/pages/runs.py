"""Runs: every job, the newest first."""

import gradio as gr

from app import chrome, job_cards
from worker.store import jobs

TITLE, PATH = "Runs", "/runs"
_SHOWN = 200


def build(page: gr.Blocks) -> None:
    chrome.draw(page, "Runs")
    gr.HTML(chrome.heading("Runs", "Trainings and everything else that was asked of the workers."))
    trainings, others = gr.HTML(), gr.HTML()
    timer = gr.Timer(4)
    page.load(show, outputs=[trainings, others], **chrome.QUIET)
    timer.tick(show, outputs=[trainings, others], **chrome.POLLED)


def show() -> tuple[str, str]:
    trainings = jobs.newest(["train"], limit=_SHOWN)
    others = jobs.newest(["preprocess", "import"], limit=_SHOWN)
    return (
        job_cards.table(trainings, "Training", "No training yet. Preprocess a dataset, then press Train."),
        job_cards.table(others, "Imports and preprocessing", "Nothing yet. Begin with a dataset."),
    )
