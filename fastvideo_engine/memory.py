"""Say that the GPU's memory is full, and what to do about it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from fastvideo_engine.errors import EngineError


@contextmanager
def full_memory_in_words(cure: str) -> Iterator[None]:
    """Turn a full GPU memory into an `EngineError` with its cure."""
    try:
        yield
    except torch.OutOfMemoryError:
        total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory / 2**30
        raise EngineError(f"The GPU's memory ({total:.0f} GiB) is too small for this; {cure}.") from None
