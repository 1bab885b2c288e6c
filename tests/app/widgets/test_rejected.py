"""Tests that clips left out are listed with their reason."""

import pytest

from app.widgets.rejected import rejected_clips

pytestmark = pytest.mark.browser


def test_each_clip_has_its_reason(show):
    page = show(lambda: rejected_clips({"clips": [{"name": "<i>.mp4", "reason": "It has 48 frames; 77 are needed."}]}))
    assert page.locator("tbody tr").inner_text().split("\t") == ["<i>.mp4", "It has 48 frames; 77 are needed."]
