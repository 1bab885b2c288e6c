"""Tests that the log follows, unless it is being read."""

import gradio as gr
import pytest

from app.widgets.log_tail import log_tail

pytestmark = pytest.mark.browser


def lines(first, last):
    return {"lines": [f"line {number}" for number in range(first, last + 1)], "from_line": first}


def growing():
    log = log_tail(lines(1, 100))
    gr.Button("Update").click(lambda: lines(11, 120), outputs=log)


def test_new_lines_come_into_view(show):
    page = show(growing)
    page.get_by_role("button", name="Update").click()
    page.get_by_text("Lines 11 to 120").wait_for()
    assert page.get_by_text("line 120").is_visible()
    assert page.evaluate(
        "(box => box.scrollHeight - box.scrollTop - box.clientHeight < 2)(document.querySelector('.fvs-log-box'))"
    )


def test_a_reader_who_scrolled_up_is_left_in_peace(show):
    page = show(growing)
    top = "document.querySelectorAll('.fvs-log-lines li')[NUMBER].getBoundingClientRect().top"
    page.evaluate("document.querySelector('.fvs-log-box').scrollTop = 700")
    page.wait_for_timeout(100)
    before = page.evaluate(top.replace("NUMBER", "45"))
    page.get_by_role("button", name="Update").click()
    page.get_by_text("Lines 11 to 120").wait_for()
    assert page.evaluate(top.replace("NUMBER", "35")) == pytest.approx(before, abs=1)
    page.get_by_role("button", name="Jump to newest").click()
    page.wait_for_timeout(100)
    assert not page.get_by_role("button", name="Jump to newest").is_visible()


def test_a_line_is_text(show):
    page = show(lambda: log_tail({"lines": ["<b onclick=x>bold</b> ${1+1}"], "from_line": 1}))
    assert page.locator(".fvs-log-lines li").inner_text() == "<b onclick=x>bold</b> ${1+1}"
