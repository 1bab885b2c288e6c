"""Tests that no widget can make markup of a value."""

import re

import pytest

from app import theme
from app.widgets.clip_grid import clip_grid
from app.widgets.curve import loss_curve
from app.widgets.log_tail import log_tail
from app.widgets.rejected import rejected_clips
from app.widgets.run_live import run_live
from app.widgets.sync_player import sample_matrix
from fastvideo_engine import assets

SCRIPTS = sorted((assets.FOLDER / "widgets").glob("*.js"))


@pytest.mark.parametrize("widget", [sample_matrix, run_live, loss_curve, log_tail, rejected_clips])
def test_a_template_never_holds_the_value(widget):
    assert "{" not in widget().html_template


def test_the_clip_grid_offers_the_browser_two_calls():
    grid = clip_grid(on_caption=lambda clip, caption: {"ok": True}, on_remove=lambda clip: {"ok": True})
    assert grid.get_config()["server_fns"] == ["save_caption", "remove_clip"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_never_writes_markup(script):
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script.read_text())


def test_the_page_head_holds_the_stylesheet_as_it_is():
    assert ".fvs-table" in theme.head()
