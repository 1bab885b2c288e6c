"""What every page has around its content: the bar on top, what the studio lacks at the moment, and a heading."""

import shutil
import time
from html import escape
from typing import Any

import gradio as gr
from gradio.components.navbar import Navbar

from fastvideo_engine.errors import StorageError
from worker import queue, settings
from worker.store import workers

START_A_WORKER = "python -m worker"
_LINKS = (("Home", "/"), ("Datasets", "/datasets"), ("Train", "/train"), ("Runs", "/runs"))
_SECONDS_BETWEEN_LOOKS = 5
_LITTLE_DISK_BYTES = 20_000_000
_LOGO = (
    '<svg width="18" height="18" viewBox="0 0 18 18" aria-hidden="true" fill="currentColor">'
    '<rect x="1" y="3" width="16" height="12" rx="3" opacity=".18"/><path d="M7 6.2v5.6L12 9z"/></svg>'
)


QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
"""For events that are the page's own wiring: no veil over what they change, no place in the API."""

POLLED: dict[str, Any] = {**QUIET, "queue": False}
"""For events of a timer: without the queue each costs one request and a quarter of the time."""


def draw(page: gr.Blocks, active: str) -> None:
    """Draw the bar with one link marked, and the notices below it, which look after themselves."""
    Navbar(visible=False)
    gr.HTML(_bar(active), elem_classes="fvs-bar-holder")
    notices = gr.HTML(elem_classes="fvs-notices")
    page.load(notices_html, outputs=notices, **QUIET)
    gr.Timer(_SECONDS_BETWEEN_LOOKS).tick(notices_html, outputs=notices, **POLLED)


def heading(title: str, subtitle: str = "") -> str:
    """Write a page's heading."""
    below = f"<p>{escape(subtitle)}</p>" if subtitle else ""
    return f'<header class="fvs-page-header"><div><h1>{escape(title)}</h1>{below}</div></header>'


def notice(level: str, text: str, link: tuple[str, str] | None = None) -> str:
    """Write a bar that says something; the text is plain, `code` between backticks aside.

    A link is a title and an address.
    """
    parts = [escape(part) for part in text.split("`")]
    marked = "".join(f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts))
    role = "alert" if level == "error" else "status"
    more = f' <a href="{escape(link[1])}">{escape(link[0])}</a>' if link else ""
    return f'<div class="fvs-notice" data-level="{level}" role="{role}"><p>{marked}{more}</p></div>'


def notices_html() -> str:
    """Say what keeps jobs from running just now; empty when nothing does."""
    free = shutil.disk_usage(settings.home()).free
    if free < _LITTLE_DISK_BYTES:
        left = f"{free / 1e6:.0f} MB left"
        where = f"The disk that holds {settings.home()} is full ({left})"
        return notice("error", f"{where}, so nothing new can be kept; make room there. What is complete stays.")
    if not _redis.answers():
        return notice(
            "error",
            "Redis does not answer, so no job can start. Nothing is lost: what you ask for waits. "
            "Start it with `python -m worker.redis_server`, or everything with `make studio`.",
        )
    if not _workers_alive():
        return notice(
            "warning",
            f"No worker is running, so jobs wait. Start one with `{START_A_WORKER}`, or everything with `make studio`.",
        )
    return ""


def _workers_alive() -> bool:
    try:
        return bool(workers.alive())
    except StorageError:
        return False


class _Redis:
    """Whether Redis answers, asked at most every few seconds whatever the number of open pages."""

    def __init__(self) -> None:
        self._asked_at, self._answered = 0.0, True

    def answers(self) -> bool:
        # Good news is believed for a while; bad news is asked again, since Redis may only just have started.
        if not self._answered or time.monotonic() - self._asked_at > _SECONDS_BETWEEN_LOOKS / 2:
            self._answered, self._asked_at = queue.redis_answers(), time.monotonic()
        return self._answered


_redis = _Redis()


def _bar(active: str) -> str:
    links = "".join(
        f'<a href="{path}"{" aria-current=page" if title == active else ""}>{title}</a>' for title, path in _LINKS
    )
    brand = f'<a class="fvs-brand" href="/">{_LOGO}<span>FastVideo Studio</span></a>'
    return f'<nav class="fvs-bar" aria-label="Studio">{brand}{links}</nav>'
