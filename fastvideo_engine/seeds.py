"""Random generators that are a function of what they are for, so that a resumed run draws what it would have drawn."""

import hashlib

import torch


def generator_of(purpose: str, *numbers: int) -> torch.Generator:
    """Return a CPU generator seeded from a purpose and numbers; the CPU's, so that every device draws the same."""
    name = "/".join([purpose, *map(str, numbers)])
    return torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little") >> 1)
