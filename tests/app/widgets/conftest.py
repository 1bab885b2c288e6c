"""A small app around one widget, opened in the browser, and videos to show in it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr
import pytest
from playwright.sync_api import Page

from app import theme


@pytest.fixture
def show(page: Page, tmp_path: Path) -> Iterator[Callable[[Callable[[], object]], Page]]:
    """Launch an app whose content a function draws, and open it."""
    apps: list[gr.Blocks] = []

    def open_app(build: Callable[[], object]) -> Page:
        with gr.Blocks() as app:
            build()
        apps.append(app)
        app.launch(
            prevent_thread_lock=True,
            quiet=True,
            ssr_mode=False,
            theme=theme.THEME,
            head=theme.head(),
            allowed_paths=[str(tmp_path)],
        )
        page.goto(app.local_url)
        page.wait_for_selector(".fvs-widget > *", state="attached")
        return page

    yield open_app
    page.close()  # first, or its last requests meet a server that is gone
    for app in apps:
        app.close()


@pytest.fixture
def make_video(make_clip: Callable[..., Path], tmp_path: Path) -> Callable[[str], str]:
    """Write a video of 64 frames and give the address it is served at."""
    return lambda name: f"/gradio_api/file={make_clip(tmp_path / f'{name}.mp4', seconds=4, fps=16, size=(96, 64))}"
