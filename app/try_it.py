"""Try it now: one click makes a dataset of the sample clips, and preprocesses and trains it by the ordinary queue."""

import shutil
import tempfile
import threading
from base64 import b64encode
from pathlib import Path
from typing import Any

import gradio as gr

from app import chrome, navigation, presets, training_data
from app.errors import readable
from fastvideo_engine import assets
from fastvideo_engine.specs import spec_from
from fastvideo_engine.specs.validation_file import read_validation_file
from worker import queue, settings
from worker.store import datasets, intake, jobs
from worker.store.tables import Job

_SAMPLE = assets.EXAMPLES / "crush"
_NAME = "Sample: crush"
_SHOWN_CLIPS = ("crush_0014", "crush_0003", "crush_0005")
_starting = threading.Lock()


def draw(page: gr.Blocks, address: gr.Textbox) -> None:
    """Draw the offer where the studio has no datasets; a click sets the address of the run."""
    with gr.Column(visible=False, elem_classes="fvs-try") as offer:
        gr.HTML(_words())
        button = gr.Button("Try it now", variant="primary", elem_classes="fvs-quiet")
    page.load(offer_if_empty, outputs=offer, **chrome.QUIET)
    clicked = button.click(lambda: gr.Button("Starting …", interactive=False), outputs=button, **chrome.POLLED)
    started = clicked.then(start, outputs=address, **chrome.QUIET)
    started.then(lambda: gr.Button("Try it now", interactive=True), outputs=button, **chrome.POLLED)


def _words() -> str:
    # In the page itself: media are served by the ids of a studio's own clips, and a studio this new has none.
    clips = "".join(
        f'<video src="data:video/mp4;base64,{b64encode((_SAMPLE / "videos" / f"{name}.mp4").read_bytes()).decode()}" '
        'width="72" height="72" autoplay loop muted playsinline aria-hidden="true"></video>'
        for name in _SHOWN_CLIPS
    )
    return (
        '<div class="fvs-try-words"><div><h2>See a LoRA learn</h2><p>Shapes under a press: 24 small clips come with '
        "the studio. One click makes a dataset of them, preprocesses it, and trains the bundled model, which has never "
        f"seen a press. It takes some minutes and needs no GPU.</p></div><div>{clips}</div></div>"
    )


def offer_if_empty() -> Any:
    return gr.update(visible=not datasets.cards())


@readable
def start() -> str:
    """Begin, unless another click has; return the address of the run's page."""
    with _starting:
        job = _begun() or _begin()
    return navigation.run(job.id)


def _begin() -> Job:
    training = presets.of_kind("train")[0].settings
    dataset_id = _sample_dataset()
    preprocessing = training_data.preprocess_for(training["model"], dataset_id)
    prompts = [row.caption for row in read_validation_file(_SAMPLE / "validation.json")]
    asked = {
        "kind": "train",
        **training,
        "parquet": training_data.made_by(preprocessing),
        "validation": {**training.get("validation", {}), "prompts": prompts},
    }
    return queue.enqueue(spec_from(asked), f"LoRA on {_NAME}", dataset_id=dataset_id, parent_id=preprocessing.id)


def _sample_dataset() -> int:
    """Take copies of the sample clips in, as if they had been dropped."""
    settings.uploads().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.uploads()) as folder:
        copies = Path(shutil.copytree(_SAMPLE, folder, dirs_exist_ok=True))
        files = [*sorted((copies / "videos").iterdir()), copies / "videos2caption.json"]
        dataset = datasets.create(_NAME)
        assert dataset.id is not None
        intake.take_in(dataset.id, [(file, file.name) for file in files])
    return dataset.id


def _begun() -> Job | None:
    samples = [card.dataset.id for card in datasets.cards() if card.dataset.name == _NAME]
    trainings = [job for sample in samples for job in jobs.newest(["train"], dataset_id=sample, limit=1)]
    return next(iter(trainings), None)
