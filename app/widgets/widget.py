"""What all widgets share: an empty frame that Gradio never draws into, and a script that draws the value there."""

from collections.abc import Callable
from functools import cache
from typing import Any

import gradio as gr

from fastvideo_engine import assets

# No part of a value may stand in a template: Gradio fills in {{ }} first and then runs the outcome as a JavaScript
# template literal, so a caption with "${...}" in it would be executed. The scripts set textContent instead.
_FRAME = '<div class="fvs-widget"></div>'


def widget(
    scripts: str, value: Any, server_functions: list[Callable[..., Any]] | None = None, **layout: Any
) -> gr.HTML:
    """Make a piece of front end; an event sends it a new value like any component's, and its script patches the page.

    A function and not a subclass of `gr.HTML`: Gradio writes a stub beside the source of each subclass.
    """
    return gr.HTML(
        value,
        html_template=_FRAME,
        js_on_load=_joined(scripts),
        apply_default_css=False,
        server_functions=server_functions,
        **layout,
    )


@cache
def _joined(scripts: str) -> str:
    names = ["dom", *scripts.split()]
    return "\n".join((assets.FOLDER / "widgets" / f"{name}.js").read_text(encoding="utf-8") for name in names)
