"""Tests that the state of a job is said in words."""

import gradio as gr
import pytest

from app.widgets.run_live import run_live

pytestmark = pytest.mark.browser

RUNNING = {"state": "running", "headline": "Training, step 41 of 500", "done": 41, "total": 500, "unit": "steps"}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(3, "a few seconds left"), (23, "about 25 s left"), (185, "about 3 min left"), (7805, "about 2 h 10 min left")],
)
def test_the_time_left_is_said_in_words(show, seconds, words):
    page = show(lambda: run_live(RUNNING | {"seconds_left": seconds}))
    assert page.locator(".fvs-live-left").inner_text() == words


def test_what_is_counted_to_its_end_is_finishing(show):
    page = show(lambda: run_live(RUNNING | {"done": 500, "seconds_left": None}))
    assert page.locator(".fvs-live-left").inner_text() == "finishing"


def test_the_time_left_counts_down_between_updates(show):
    page = show(lambda: run_live(RUNNING | {"seconds_left": 11.5}))
    page.get_by_text("about 10 s left").wait_for(timeout=4000)


def test_the_bar_says_its_share_to_everyone(show):
    page = show(lambda: run_live(RUNNING | {"metrics": {"gradient_norm": 0.41237}}))
    bar = page.get_by_role("progressbar", name="Progress")
    assert (bar.get_attribute("aria-valuenow"), bar.get_attribute("aria-valuemax")) == ("41", "500")
    assert page.get_by_text("41 of 500 steps · 8 %").is_visible()
    assert page.locator(".fvs-metrics").inner_text().split("\n") == ["gradient norm", "0.4124"]


def test_a_failure_takes_the_place_of_the_time_left(show):
    failed = {"state": "failed", "headline": "Failed at step 41", "detail": "The <b>GPU</b> ran out of memory."}

    def build():
        live = run_live(RUNNING | {"seconds_left": 100})
        gr.Button("Update").click(lambda: failed, outputs=live)

    page = show(build)
    page.get_by_role("button", name="Update").click()
    page.get_by_text("The <b>GPU</b> ran out of memory.").wait_for()
    assert page.locator(".fvs-pill").inner_text() == "Failed"
    assert page.locator(".fvs-live-left").inner_text() == ""
