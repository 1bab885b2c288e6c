"""Tell how long each stage of preprocessing takes, to whoever listens to this module's log."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

STAGES = logging.getLogger(__name__)


@contextmanager
def timed(stage: str) -> Iterator[None]:
    """Log the seconds that the block, or each call of the function decorated with this, takes; any thread may."""
    began = time.perf_counter()
    try:
        yield
    finally:
        seconds = time.perf_counter() - began
        STAGES.debug("%s took %.3f s", stage, seconds, extra={"stage": stage, "seconds": seconds})
