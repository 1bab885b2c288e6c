"""Which devices this host has to lease; found without torch, which stays out of the worker."""

import functools
import os
import shutil
import subprocess

CPU = "cpu"


@functools.cache
def of_this_host() -> tuple[str, ...]:
    """Name the GPUs as `CUDA_VISIBLE_DEVICES` does, or the one CPU when there are none."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return tuple(device.strip() for device in named.split(",") if device.strip() not in ("", "-1")) or (CPU,)
    return tuple(str(number) for number in range(_count_gpus())) or (CPU,)


def _count_gpus() -> int:
    if shutil.which("nvidia-smi") is None:
        return 0
    try:
        listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=30, check=True)
    except (subprocess.SubprocessError, OSError):
        return 0  # a driver without a card answers with an error
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
