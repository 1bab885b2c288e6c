"""The bundled models have learnt what their model card says, and a LoRA learns on them what it should."""

import pytest

from fastvideo_engine.bench.tiny_wan import (
    TINY_WAN,
    TINY_WAN_IMAGE,
    Row,
    image_rows,
    judge_row,
    lora_rows,
    text_rows,
    vae_row,
)

pytestmark = pytest.mark.slow


def _missed(rows: list[Row]) -> list[Row]:
    # Times are for the bench: a machine may be busy.
    return [row for row in rows if not row.holds and not row.is_time]


def test_the_measurement_itself_is_right_about_real_clips() -> None:
    assert _missed([judge_row()]) == []


def test_the_vae_gives_clips_back_that_it_has_not_seen() -> None:
    assert _missed([vae_row(TINY_WAN)]) == []


def test_prompts_that_were_never_seen_become_clips_of_their_colour_and_direction() -> None:
    assert _missed(text_rows(TINY_WAN)) == []


def test_an_image_is_gone_on_from_as_prompted() -> None:
    assert _missed(image_rows(TINY_WAN_IMAGE)) == []


def test_a_lora_learns_an_effect_in_minutes_and_leaves_other_prompts_alone() -> None:
    assert _missed(lora_rows(TINY_WAN)) == []
