"""One job: how far it is, what it made, and the means to stop it and go on."""

from html import escape
from typing import Any

import gradio as gr

from app import base_models, chrome, curves, job_cards, media, navigation, words
from app.errors import readable
from app.widgets.curve import loss_curve
from app.widgets.log_tail import log_tail
from app.widgets.rejected import rejected_clips
from app.widgets.run_live import run_live
from app.widgets.sync_player import sample_matrix
from fastvideo_engine.specs import TrainSpec
from worker import queue
from worker.store import artifacts, jobs
from worker.store.tables import Artifact, Job, JobStatus

TITLE, PATH = "Run", "/run"
_SECONDS_BETWEEN_LOOKS = 2
_LOG_LINES = 300
_NEXT_STEPS = 3
_LOG_BYTES = 60_000


def build(page: gr.Blocks) -> None:
    chrome.draw(page, "Runs")
    heading = gr.HTML()
    job_id = gr.Number(visible=False, precision=0)
    with gr.Column(visible=False) as found:
        live = run_live()
        with gr.Row(elem_classes="fvs-actions"):
            stop = gr.Button("Stop", visible=False)
            resume = gr.Button("Resume", variant="primary", visible=False)
        results = gr.HTML()
        with gr.Column(visible=False) as judged:
            gr.HTML('<h2 class="fvs-title">Validation videos</h2>')
            matrix = sample_matrix()
            gr.HTML('<h2 class="fvs-title">Loss</h2>')
            curve = loss_curve()
        rejected = rejected_clips(visible=False)
        with gr.Accordion("Log", open=False):
            log = log_tail()
        with gr.Accordion("Settings and shell command", open=False):
            settings_card = gr.HTML()
    timer = gr.Timer(_SECONDS_BETWEEN_LOOKS, active=False)

    moving = [live, stop, resume, results, matrix, curve, rejected, log, timer]
    opened = page.load(open_page, outputs=[job_id, found, heading, settings_card, judged], **chrome.QUIET)
    opened.then(show, job_id, moving, **chrome.QUIET)
    timer.tick(show, job_id, moving, **chrome.POLLED)
    stop.click(stop_job, job_id, moving, **chrome.QUIET)
    resume.click(resume_job, job_id, moving, **chrome.QUIET)


def open_page(request: gr.Request) -> tuple[int | None, Any, str, str, Any]:
    job = jobs.get(navigation.id_from(request) or 0)
    if job is None:
        lost = chrome.heading("There is no such run", "Look for it in Runs.")
        return None, gr.update(visible=False), lost, "", gr.update(visible=False)
    heading = chrome.heading(
        f"#{job.id} {job.title}", f"{job_cards.KINDS[job.kind]} · asked for {words.ago(job.created_at)}"
    )
    return (
        job.id,
        gr.update(visible=True),
        heading,
        _settings_card(job),
        gr.update(visible=job.kind == "train"),
    )


@readable
def show(job_id: int | None) -> tuple[Any, ...]:
    """Show all that moves; the timer runs only while the job does."""
    job = jobs.get(job_id) if job_id else None
    if job is None or job.id is None:
        return (*(gr.skip() for _ in range(8)), gr.Timer(active=False))
    left_out = artifacts.rejected_by(job.id)
    return (
        _live(job),
        gr.Button(
            "Stopping …" if job.stop_requested else "Stop", visible=not job.is_over, interactive=not job.stop_requested
        ),
        gr.Button(visible=job.status in (JobStatus.STOPPED, JobStatus.FAILED)),
        _results(job),
        _matrix(job) if job.kind == "train" else gr.skip(),
        _curve(job) if job.kind == "train" else gr.skip(),
        gr.update(
            value={"clips": [{"name": clip.clip, "reason": clip.reason} for clip in left_out]}, visible=bool(left_out)
        ),
        _log(job),
        gr.Timer(active=not job.is_over),
    )


@readable
def stop_job(job_id: int) -> tuple[Any, ...]:
    jobs.request_stop(job_id)
    return show(job_id)


@readable
def resume_job(job_id: int) -> tuple[Any, ...]:
    queue.resume(job_id)
    return show(job_id)


def _live(job: Job) -> dict[str, Any]:
    awaited = jobs.awaited_by(job)
    moving = awaited or job
    pace = job.metrics.get("seconds_per_step")
    return {
        "state": job_cards.state(job),
        "headline": job_cards.headline(job, awaited),
        "detail": _detail(job),
        "done": moving.done,
        "total": moving.total,
        "unit": job_cards.UNITS[moving.kind] + "s",
        "seconds_left": moving.seconds_left if moving.status == JobStatus.RUNNING else None,
        "pace": f"{pace:.2f} s a step" if pace else "",
        "metrics": {name: value for name, value in job.metrics.items() if name != "seconds_per_step"},
        "notices": [],
    }


def _detail(job: Job) -> str:
    match job.status:
        case JobStatus.RUNNING:
            said = not job.done or job.phase == job_cards.DOING[job.kind]  # by the headline
            return job.message or ("" if said else job.phase)
        case JobStatus.QUEUED | JobStatus.FAILED:
            return job.message
        case _:
            return ""  # the headline says it


def _matrix(job: Job) -> dict[str, Any]:
    spec = jobs.spec_of(job)
    assert isinstance(spec, TrainSpec)
    samples = artifacts.of_job(job.id or 0, "sample")
    # Those of a validation file are known from what was sampled.
    by_number = {sample.facts["prompt_number"]: sample.facts["prompt"] for sample in samples}
    prompts = spec.validation.prompts or [by_number[number] for number in sorted(by_number)]
    return {
        "prompts": prompts,
        "steps": sorted({sample.step for sample in samples if sample.step is not None}),
        "cells": {f"{sample.facts['prompt_number']}:{sample.step}": _cell(sample) for sample in samples},
        "fps": samples[0].facts["fps"] if samples else 16,
        "expected_steps": [] if job.is_over else next_steps(spec, len(samples) // max(1, len(prompts))),
        "empty": "The first videos, of the base model, come before step 1."
        if spec.validation.is_asked_for
        else "No prompts were given.",
    }


def _cell(sample: Artifact) -> dict[str, Any]:
    facts = sample.facts
    title = f"{facts['prompt']} · step {sample.step} · seed {facts['seed']}"
    return {"url": f"{media.artifact_url(sample)}?v={sample.created_at:.0f}", "poster": None, "title": title}


def next_steps(spec: TrainSpec, sampled: int) -> list[int]:
    """Name the steps that are sampled next: few, since a long run may have thousands to come."""
    every, last = spec.validation.every, spec.steps
    return [min(number * every, last) for number in range(sampled, -(-last // every) + 1)[:_NEXT_STEPS]]


def _curve(job: Job) -> dict[str, Any]:
    saved = [*artifacts.of_job(job.id or 0, "adapter"), *artifacts.of_job(job.id or 0, "transformer")]
    return {
        "points": curves.loss_points(job),
        "smoothed": True,
        "markers": [{"step": weights.step, "label": f"checkpoint {weights.step}"} for weights in saved],
        "unit": "step",
        "empty": "The loss appears with the first step.",
    }


def _log(job: Job) -> dict[str, Any]:
    try:
        written = job.folder.log.read_bytes()
    except FileNotFoundError:
        written = b""
    before, _, _ = written[:-_LOG_BYTES].rpartition(b"\n")
    lines = written[len(before) :].decode(errors="replace").splitlines()
    first = before.count(b"\n") + len(lines) - len(lines[-_LOG_LINES:]) + 1
    return {"lines": lines[-_LOG_LINES:], "from_line": first, "empty": "The log begins when a worker takes the job."}


def _results(job: Job) -> str:
    awaited = jobs.awaited_by(job)
    if awaited is not None:
        first = f"{job_cards.DOING[awaited.kind].lower()} #{awaited.id}"
        told = f"{job_cards.DOING[job.kind]} begins by itself as soon as {first} is finished."
        return chrome.notice("info", told, (f"See #{awaited.id}", navigation.run(awaited.id)))
    adapter = next(reversed(artifacts.of_job(job.id or 0, "adapter")), None)
    if adapter is not None:
        return _adapter_card(job, adapter)
    transformer = next(reversed(artifacts.of_job(job.id or 0, "transformer")), None)
    if transformer is not None:
        return _transformer_card(job, transformer)
    parquet = next(iter(artifacts.of_job(job.id or 0, "parquet")), None)
    if parquet is not None:
        return _parquet_card(job, parquet)
    if job.kind == "import" and job.dataset_id:
        return f'<p class="fvs-actions">{_button("Open the dataset", navigation.dataset(job.dataset_id))}</p>'
    return ""


def _adapter_card(job: Job, adapter: Artifact) -> str:
    file = f"lora-run-{job.id}-step-{adapter.step}.safetensors"
    model = base_models.seen_from_anywhere(job.spec["model"])
    code = (
        "from diffusers import WanPipeline\n"
        f'pipeline = WanPipeline.from_pretrained("{model}")\n'
        f'pipeline.load_lora_weights("{file}")'
    )
    download = _button("Download adapter", f"{media.artifact_url(adapter)}?name={file}", save_as=file)
    return (
        f'<section class="fvs-card"><h2>The adapter of step {adapter.step}</h2><p class="fvs-actions">{download}</p>'
        f"<p>Use it in Python, beside the downloaded file:</p>{code_block(code)}</section>"
    )


def _transformer_card(job: Job, transformer: Artifact) -> str:
    model = base_models.seen_from_anywhere(job.spec["model"])
    code = (
        "from diffusers import WanPipeline, WanTransformer3DModel\n"
        f'transformer = WanTransformer3DModel.from_pretrained("{transformer.file}")\n'
        f'pipeline = WanPipeline.from_pretrained("{model}", transformer=transformer)'
    )
    return (
        f'<section class="fvs-card"><h2>The transformer of step {transformer.step}</h2>'
        f"<p>It takes the place of the base model's. Use it in Python:</p>{code_block(code)}</section>"
    )


def _parquet_card(job: Job, parquet: Artifact) -> str:
    facts = parquet.facts
    rows = {
        "Clips": f"{facts['clips']:,}",
        "Left out": f"{facts['rejected']:,}",
        "Shape": f"{facts['height']}×{facts['width']}, {facts['frames']} frames at {facts['fps']:g} fps",
        "Base model": base_models.title_of(job.spec["model"]),
        "Folder": str(parquet.file),
    }
    listed = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in rows.items())
    train = _button("Train on this", navigation.train(job.id))
    return (
        f'<section class="fvs-card"><h2>Training data</h2><dl class="fvs-facts">{listed}</dl>'
        f'<p class="fvs-actions">{train}</p></section>'
    )


def _button(title: str, address: str, save_as: str = "") -> str:
    download = f' download="{escape(save_as)}"' if save_as else ""
    return f'<a class="fvs-button" data-variant="primary" href="{escape(address)}"{download}>{title}</a>'


def _settings_card(job: Job) -> str:
    spec = jobs.spec_of(job)
    command = f"python -m fastvideo_engine {job.kind} {job.folder.spec} --output my-run"
    return f"<p>The same in a shell:</p>{code_block(command)}<p>spec.yaml:</p>{code_block(spec.to_yaml())}"


def code_block(code: str) -> str:
    copy = '<button type="button" data-fvs-copy>Copy</button>'
    return f'<div class="fvs-code">{copy}<pre><code>{escape(code)}</code></pre></div>'
