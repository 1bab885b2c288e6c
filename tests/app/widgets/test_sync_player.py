"""Tests that sample videos run together and are left alone by updates."""

import gradio as gr
import pytest

from app.widgets.sync_player import sample_matrix

pytestmark = pytest.mark.browser

FRAME_SECONDS = 1 / 16
SPREADS = """async (seconds) => {
  const spreads = [];
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    await new Promise(requestAnimationFrame);
    const times = [...document.querySelectorAll("[data-state=ready] video")].map((video) => video.currentTime);
    spreads.push(Math.max(...times) - Math.min(...times));
  }
  return spreads;
}"""
TIMES = "[...document.querySelectorAll('[data-state=ready] video')].map((video) => video.currentTime)"
ALL_LOADED = "[...document.querySelectorAll('video[src]')].every((video) => video.readyState >= 2)"


def value(make_video, steps, expected=(), prompts=2):
    cells = {f"{p}:{s}": {"url": make_video(f"{p}-{s}"), "title": f"step {s}"} for p in range(prompts) for s in steps}
    names = [f"prompt {number}" for number in range(prompts)]
    return {"prompts": names, "steps": list(steps), "cells": cells, "fps": 16, "expected_steps": list(expected)}


def show_loaded(show, build):
    page = show(build)
    page.wait_for_selector("[data-state=ready]")
    page.wait_for_function(ALL_LOADED)
    return page


def test_nothing_plays_until_play_is_pressed(show, make_video):
    page = show_loaded(show, lambda: sample_matrix(value(make_video, [0, 10])))
    page.wait_for_timeout(300)
    assert page.evaluate("[...document.querySelectorAll('video')].every((video) => video.paused && video.muted)")


def test_playing_cells_stay_within_one_frame_of_each_other(show, make_video):
    page = show_loaded(show, lambda: sample_matrix(value(make_video, [0, 10, 20])))
    page.get_by_role("button", name="Play all").click()
    page.wait_for_timeout(700)
    spreads = sorted(page.evaluate(SPREADS, 1.5))
    assert min(page.evaluate(TIMES)) > 0.5
    # A machine busy with other things may hold a single picture back.
    assert spreads[int(len(spreads) * 0.95)] < FRAME_SECONDS


def test_cells_begin_their_next_round_together(show, make_video):
    page = show_loaded(show, lambda: sample_matrix(value(make_video, [0, 10])))
    page.get_by_role("button", name="Speed 2", exact=True).click()
    page.get_by_role("button", name="Play all").click()
    page.wait_for_timeout(3000)
    spreads = sorted(page.evaluate(SPREADS, 0.5))
    assert spreads[len(spreads) // 2] < FRAME_SECONDS
    assert max(page.evaluate(TIMES)) < 4


def test_a_new_column_leaves_the_playing_videos_alone(show, make_video):
    first, second = value(make_video, [0, 10], expected=[20]), value(make_video, [0, 10, 20])

    def build():
        matrix = sample_matrix(first)
        gr.Button("Update").click(lambda: second, outputs=matrix)

    page = show_loaded(show, build)
    page.get_by_role("button", name="Play all").click()
    page.evaluate("""() => {
      window.disturbed = 0;
      window.before = [...document.querySelectorAll("[data-state=ready] video")];
      for (const video of before) for (const name of ["loadstart", "emptied", "pause", "seeking"])
        video.addEventListener(name, () => (window.disturbed += 1));
    }""")
    page.wait_for_timeout(500)
    page.get_by_role("button", name="Update").click()
    page.wait_for_function("document.querySelectorAll('[data-state=ready]').length === 6")
    assert page.evaluate("before.length === 4 && before.every((video) => video.isConnected && !video.paused)")
    assert page.evaluate("disturbed") == 0
    page.wait_for_timeout(700)
    spreads = sorted(page.evaluate(SPREADS, 0.5))
    assert spreads[len(spreads) // 2] < FRAME_SECONDS


def test_the_keys_step_all_cells_by_a_frame(show, make_video):
    page = show_loaded(show, lambda: sample_matrix(value(make_video, [0, 10])))
    page.get_by_label("Samples", exact=True).focus()
    for key in (".", "ArrowRight", "ArrowRight", ","):
        page.keyboard.press(key)
    page.wait_for_timeout(400)
    assert page.evaluate(TIMES) == pytest.approx([2 * FRAME_SECONDS] * 4, abs=0.002)
    assert page.get_by_text("frame 3 / 64").is_visible()


def test_space_plays_and_pauses_on_one_frame(show, make_video):
    page = show_loaded(show, lambda: sample_matrix(value(make_video, [0, 10])))
    page.get_by_label("Samples", exact=True).focus()
    page.keyboard.press(" ")
    page.wait_for_timeout(600)
    page.keyboard.press(" ")
    page.wait_for_timeout(400)
    times = page.evaluate(TIMES)
    assert max(times) - min(times) < 0.001
    assert min(times) > 0.2


def test_videos_out_of_view_are_not_loaded(show, make_video):
    many = value(make_video, [0], prompts=1)
    many["prompts"] = [f"prompt {number}" for number in range(40)]
    many["cells"] = {f"{number}:0": many["cells"]["0:0"] for number in range(40)}
    page = show(lambda: sample_matrix(many))
    page.wait_for_selector("[data-state=ready]")
    page.wait_for_timeout(500)
    assert 0 < page.evaluate("document.querySelectorAll('video[src]').length") < 30


def test_a_step_still_to_come_has_a_quiet_place(show, make_video):
    page = show(lambda: sample_matrix(value(make_video, [0], expected=[10])))
    assert page.get_by_text("Still to come").count() == 2
    assert page.get_by_role("columnheader").all_inner_texts() == ["Prompt", "base · step 0", "step 10"]


def test_a_video_that_cannot_be_loaded_offers_another_try(show, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"not a video")
    cell = {"url": f"/gradio_api/file={tmp_path / 'broken.mp4'}"}
    page = show(lambda: sample_matrix({"prompts": ["p"], "steps": [0], "cells": {"0:0": cell}, "fps": 16}))
    page.get_by_role("button", name="Retry").wait_for()
    assert page.get_by_text("Could not be loaded").is_visible()


def test_without_samples_the_reason_is_said(show):
    page = show(lambda: sample_matrix({"prompts": [], "empty": "The first samples appear at step 100."}))
    assert page.get_by_text("The first samples appear at step 100.").is_visible()
