"""Tests that the loss curve reads exactly."""

import pytest

from app.widgets.curve import loss_curve

pytestmark = pytest.mark.browser

POINTS = [[1, 0.5], [2, 0.25], [3, 0.125]]


def test_the_keys_read_exact_values(show):
    page = show(lambda: loss_curve({"points": POINTS, "markers": [{"step": 2, "label": "checkpoint 2"}]}))
    page.locator(".fvs-curve-chart").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert page.locator(".fvs-tooltip").inner_text().split() == ["Step", "2", "Loss", "0.25", "checkpoint", "2"]


def test_smoothing_is_an_average_without_a_bias_to_zero(show):
    page = show(lambda: loss_curve({"points": POINTS, "smoothed": True}))
    page.get_by_label("Smoothing").fill("0.5")
    page.locator(".fvs-curve-chart").focus()
    page.keyboard.press("End")
    expected = (0.125 * 0.5 + 0.25 * 0.25 + 0.5 * 0.125) / (0.5 + 0.25 + 0.125)
    assert float(page.locator(".fvs-tooltip b").nth(1).inner_text()) == pytest.approx(expected, rel=1e-5)


def test_pointing_reads_the_nearest_step(show):
    page = show(lambda: loss_curve({"points": POINTS}))
    box = page.locator(".fvs-curve-chart").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.55, box["y"] + 100)
    assert page.locator(".fvs-tooltip strong").inner_text() == "Step 2"


def test_a_log_scale_puts_equal_ratios_at_equal_distances(show):
    page = show(lambda: loss_curve({"points": POINTS}))
    page.get_by_label("Log scale").check()
    path = page.locator(".fvs-curve-line").get_attribute("d")
    heights = [float(part.split(",")[1]) for part in path[1:].split("L")]
    assert heights[1] - heights[0] == pytest.approx(heights[2] - heights[1], abs=0.2)


def test_an_empty_curve_says_what_will_come(show):
    page = show(lambda: loss_curve({"points": []}))
    assert page.get_by_text("The curve begins with the first step.").is_visible()
