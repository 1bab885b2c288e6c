"""A newcomer's first click in a real browser, through the real queue, worker and engine, until the LoRA trains."""

import re

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser
JOB_MS = 180_000


def test_one_click_leads_from_nothing_to_a_run_that_trains(page: Page, address: str):
    page.goto(address)
    page.get_by_role("button", name="Try it now").dblclick()
    page.wait_for_url(re.compile(r"/run\?id=2"))
    expect(page.get_by_text("Training begins by itself as soon as preprocessing #1 is finished.")).to_be_visible()
    expect(page.locator(".fvs-live")).to_contain_text("of 24 clips", timeout=JOB_MS)
    expect(page.locator(".fvs-live-left")).to_have_text(re.compile("left"))
    expect(page.get_by_text("a press crushes a red circle on a grey background")).to_be_visible()
    expect(page.get_by_text(re.compile(r"Training, step \d+ of"))).to_be_visible(timeout=JOB_MS)
    expect(page.locator(".fvs-live-left")).to_have_text(re.compile("left"))
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".fvs-pill").first).to_have_text("Stopped", timeout=60_000)

    for path in ("/", "/datasets"):
        page.goto(address + path)
        expect(page.get_by_text("Sample: crush").first).to_be_visible()
        expect(page.get_by_role("button", name="Try it now")).to_be_hidden()
    expect(page.get_by_text("24 clips · 26 s · all captioned")).to_be_visible()
    page.goto(f"{address}/runs")
    expect(page.locator(".fvs-table tbody tr")).to_have_count(2)  # for all that it was clicked twice
