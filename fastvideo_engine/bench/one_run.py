"""Preprocess once, in a process of its own so that its memory is its own, and write down what it took.

Started as `python -m fastvideo_engine.bench.one_run VARIANT RUN_FOLDER`.
"""

import json
import logging
import resource
import sys
import time
from collections import defaultdict
from pathlib import Path

from fastvideo_engine.bench import plain_loop
from fastvideo_engine.data import preprocess
from fastvideo_engine.data.stages import STAGES
from fastvideo_engine.run_folder import RunFolder
from fastvideo_engine.specs import PreprocessSpec, read_spec

RUNNERS = {"plain": plain_loop.run, "ours, nothing ahead": preprocess.run, "ours": preprocess.run}
FIGURES = "figures.json"


class _Sums(logging.Handler):
    """Adds up the seconds of each stage, over all threads."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: dict[str, float] = defaultdict(float)

    def emit(self, record: logging.LogRecord) -> None:
        self.seconds[record.stage] += record.seconds  # type: ignore[attr-defined]


def main(variant: str, path: Path) -> None:
    """Do what the spec in the folder says, the way the variant does."""
    folder, sums = RunFolder(path), _Sums()
    spec = read_spec(folder.spec)
    assert isinstance(spec, PreprocessSpec)
    STAGES.addHandler(sums)
    STAGES.setLevel(logging.DEBUG)
    STAGES.propagate = False
    loaded, began, began_cpu = _peak_mib(), time.perf_counter(), time.process_time()
    RUNNERS[variant](spec, folder)
    figures = {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - began_cpu,
        "stages": sums.seconds,
        "peak_mib": _peak_mib(),
        "peak_mib_before": loaded,
    }
    (path / FIGURES).write_text(json.dumps(figures), encoding="utf-8")


def _peak_mib() -> float:
    """Return the largest resident memory that this process had."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux hands the other count on from the process that started this one
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
