"""Samples as a grid of prompts and steps whose videos run on one clock."""

from typing import Any

import gradio as gr

from app.widgets.widget import widget


def sample_matrix(value: Any = None, **layout: Any) -> gr.HTML:
    """Compare what each prompt looked like at each step.

    The value is {"prompts": [str], "steps": [int], "cells": {"<prompt index>:<step>": {"url", "poster", "title"}},
    "fps": float, "expected_steps": [int], "empty": sentence}. Steps that are only expected show as placeholders.
    """
    return widget("clock sample_matrix", value, **layout)
