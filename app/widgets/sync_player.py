"""Samples as a grid of prompts and steps whose videos run on one clock."""

from typing import Any

from app.widgets.widget import Widget


class SampleMatrix(Widget):
    """Compare what each prompt looked like at each step.

    The value is {"prompts": [str], "steps": [int], "cells": {"<prompt index>:<step>": {"url", "poster", "title"}},
    "fps": float, "expected_steps": [int], "empty": sentence}. Steps that are only expected show as placeholders.
    """

    def __init__(self, value: Any = None, **layout: Any) -> None:
        super().__init__("clock sample_matrix", value, **layout)
