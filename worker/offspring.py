"""Let a child process end with its parent, however that comes to its end."""

import ctypes
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


END_WITH_PARENT: Callable[[], None] | None = _end_with_parent if sys.platform == "linux" else None
"""Given to `Popen` as `preexec_fn`; only Linux can do it."""
