"""Find a layer by whatever a tool calls it, for adapters that come from one tool and go to another."""

import re
from dataclasses import replace

from fastvideo_engine.families.family import LayerNames
from fastvideo_engine.families.wan import LAYERS

_BLOCK = re.compile(r"^blocks[._](\d+)[._]")


def names_of_layer(spelling: str) -> LayerNames | None:
    """Return all names of a layer that is called so by any tool, kohya's with underscores for dots among them."""
    block = _BLOCK.match(spelling)
    known = _BY_SPELLING.get(_flat(_BLOCK.sub("blocks.N.", spelling)))
    if block is None or known is None:
        return known
    diffusers, original, fastvideo = (
        name.replace(".N.", f".{block[1]}.", 1) for name in (known.diffusers, known.original, known.fastvideo)
    )
    return replace(known, diffusers=diffusers, original=original, fastvideo=fastvideo)


def _flat(name: str) -> str:
    return name.replace(".", "_")


_BY_SPELLING = {_flat(name): layer for layer in LAYERS for name in (layer.diffusers, layer.original, layer.fastvideo)}
