"""The time that a measurement goes by."""

import time

import torch


def now(device: torch.device) -> float:
    """Return seconds from some moment on, with all that the device was asked for done.

    On a CPU it is this process's own time there: other programs lengthen it less than the time on the wall.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()
