"""Addresses of pages, and the step from a handler to another page."""

from typing import Any

import gradio as gr

_LONGEST_ID = 18  # digits of what a database keeps as a whole number

GO_TO = "(address) => { if (address) window.location.assign(address); }"
"""Given to an event as `js`, with the component that holds an address as its input."""


def run(job_id: int | None) -> str:
    return f"/run?id={job_id}"


def dataset(dataset_id: int | None, tab: str = "") -> str:
    return f"/dataset?id={dataset_id}" + (f"&tab={tab}" if tab else "")


def train(parquet_job_id: int | None = None) -> str:
    return "/train" + (f"?parquet={parquet_job_id}" if parquet_job_id else "")


def id_from(request: gr.Request, name: str = "id") -> int | None:
    """Read the number that the page's address names, None when it names none."""
    text: Any = request.query_params.get(name, "")
    return int(text) if str(text).isascii() and str(text).isdigit() and len(str(text)) <= _LONGEST_ID else None
