"""What a training step takes, by formulas: floating-point operations and bytes, before anything is computed."""

from dataclasses import dataclass
from typing import Literal

Again = Literal["none", "selective", "full"]
"""What of a block's forward pass the backward pass computes again: nothing, all but attention, all."""

_TILE = 64
"""Tokens of a tile of sparse attention."""
# Bytes that a block's forward pass keeps for each token and unit of width: so many, and so many more for each time
# that the feed-forward layer is wider than the model. Counted on diffusers' Wan, by method and bytes of the dtype.
_KEPT = {(True, 2): (68, 4.0), (True, 4): (89, 8.0), (False, 2): (60, 2.2), (False, 4): (58, 4.0)}
# A block's input; where attention is kept, the answers of both attentions besides.
_KEPT_AGAIN = {"selective": 3, "full": 1}


@dataclass(frozen=True)
class Blocks:
    """The sizes of a transformer's blocks, which do nearly all of its work."""

    count: int
    width: int
    feed_forward: int
    text: int
    """Tokens that the cross-attention looks at."""


@dataclass(frozen=True)
class Method:
    """What is trained, and how: `adapter` counts the weights of adapters, where the whole model is not trained."""

    full: bool
    adapter: int = 0
    sparsity: float | None = None
    again: Again = "none"


def step_operations(tokens: int, blocks: Blocks, method: Method) -> float:
    """Count the floating-point operations of a forward and backward pass of one clip."""
    linear = linear_operations(tokens, blocks)
    attention = attention_operations(tokens, blocks, method.sparsity)
    if method.sparsity is not None:
        linear += 2 * tokens * blocks.count * blocks.width**2  # the gates
    # Backward a linear layer takes as much again for its input, and for its weights where these are trained.
    linear_passes, attention_passes, adapter_passes = (3 if method.full else 2), 3.5, 3
    if method.again != "none":
        linear_passes, adapter_passes = linear_passes + 1, adapter_passes + 1
    if method.again == "full":
        attention_passes += 1
    return linear_passes * linear + attention_passes * attention + adapter_passes * 2 * tokens * method.adapter


def linear_operations(tokens: int, blocks: Blocks) -> float:
    """Count the operations of all linear layers going forward: eight of the width squared, and the feed-forward two."""
    width = blocks.width
    of_tokens = tokens * (12 * width**2 + 4 * width * blocks.feed_forward)
    return blocks.count * float(of_tokens + 4 * blocks.text * width**2)


def attention_operations(tokens: int, blocks: Blocks, sparsity: float | None = None) -> float:
    """Count the operations of attention going forward: to all tokens, or to the share of their tiles that is left."""
    attended = float(tokens)
    if sparsity is not None:
        attended = (1 - sparsity) * tokens + tokens / _TILE**2
    return blocks.count * 4 * tokens * blocks.width * (attended + blocks.text)


def activation_bytes(tokens: int, blocks: Blocks, method: Method, bytes_each: int) -> float:
    """Estimate what the forward pass of one clip keeps for the backward pass, computed in 2 or 4 bytes."""
    always, per_feed_forward = _KEPT[method.full, bytes_each]
    of_one = tokens * blocks.width * (always + per_feed_forward * blocks.feed_forward / blocks.width)
    if method.again == "none":
        return blocks.count * of_one
    kept = _KEPT_AGAIN[method.again] * tokens * blocks.width * bytes_each
    return blocks.count * kept + of_one
