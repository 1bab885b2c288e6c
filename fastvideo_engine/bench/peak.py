"""The most arithmetic that the machine does in a second."""

import torch

from fastvideo_engine.bench.clock import now


def matmul_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Measure the FLOPs a second of a large matrix product, the best of some."""
    side, repeated = (8192, 10) if device.type == "cuda" else (1024, 2)
    matrix = torch.randn(side, side, device=device, dtype=dtype)
    seconds = []
    for _ in range(8):
        began = now(device)
        for _ in range(repeated):
            matrix @ matrix
        seconds.append(now(device) - began)
    return float(2 * side**3 * repeated / min(seconds))
