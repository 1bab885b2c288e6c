"""What a measurement says: the machine it was made on, and a table of its figures."""

import os
import platform
from collections.abc import Sequence

import torch


def machine() -> dict[str, object]:
    """Say what was measured on."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count(), "gpu": gpu}


def print_table(rows: Sequence[dict[str, object]]) -> None:
    """Print rows that have the same columns, and a blank line."""
    cells = [[*rows[0]], *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))
    print(flush=True)


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"
