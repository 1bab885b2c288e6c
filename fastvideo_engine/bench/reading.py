"""Time the reading of training samples: FastVideo's way, a whole group of rows for one of them, and ours."""

import random
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow.parquet as pq
import torch

from fastvideo_engine.data.loader import open_parquet
from fastvideo_engine.data.parquet import Provenance, Sample, write_samples

# A clip of 77 frames at 480x832, and a caption of 100 tokens.
_LATENT, _TEXT = (16, 20, 60, 104), (100, 4096)
_FASTVIDEO_GROUPS = (64, 8, 1)  # 64 is FastVideo's default
_ROUNDS = 3
_SECONDS_AT_MOST = 2.0  # and at most as many reads as there are rows
_OURS = "our reader, 1 row a group"


def measured_reads(rows: int, folder: Path) -> list[dict[str, object]]:
    """Read rows in a random order from each layout, in rounds; return rows a second and the time of the CPU for one."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        readers = _readers(rows, Path(scratch))
        order = random.Random(7)
        paces: dict[str, list[tuple[float, float]]] = {name: [] for name in readers}
        for _ in range(_ROUNDS):
            for name in order.sample(list(readers), len(readers)):
                paces[name].append(_pace(readers[name], rows, order))
    return [
        {
            "variant": name,
            "rows_per_second": median(each[0] for each in measured),
            "cpu_ms_per_row": median(each[1] for each in measured),
        }
        for name, measured in paces.items()
    ]


def _readers(rows: int, folder: Path) -> dict[str, Callable[[int], object]]:
    generator = np.random.default_rng(7)
    samples = [_sample(number, generator) for number in range(rows)]
    made_with = Provenance(
        model="bench", vae_fingerprint="", train_fps=16, height=480, width=832, frames=77, engine_version=""
    )
    ours = write_samples(folder / "ours", samples, made_with)
    clips = open_parquet(ours.parent)
    table = pq.read_table(ours)
    readers: dict[str, Callable[[int], object]] = {_OURS: clips.read}
    for group in _FASTVIDEO_GROUPS:
        file = folder / f"groups_of_{group}.parquet"
        pq.write_table(table, file, row_group_size=group, compression="zstd")
        readers[f"FastVideo's way, {group} a group"] = partial(_read_like_fastvideo, file, group)
    return readers


def _read_like_fastvideo(file: Path, group: int, row: int) -> tuple[torch.Tensor, torch.Tensor, str]:
    # fastvideo/dataset/parquet_dataset_map_style.py: the group becomes Python objects, and one row of them is kept.
    with pq.ParquetFile(file) as opened:
        columns = opened.read_row_group(row // group).to_pydict()
    kept = {name: values[row % group] for name, values in columns.items()}
    latent, text = (
        torch.from_numpy(np.frombuffer(kept[f"{name}_bytes"], np.float32).reshape(kept[f"{name}_shape"]).copy())
        for name in ("vae_latent", "text_embedding")
    )
    return latent, text, kept["caption"]


def _pace(read: Callable[[int], object], rows: int, order: random.Random) -> tuple[float, float]:
    done, began, began_cpu = 0, time.perf_counter(), time.process_time()
    while done < rows and time.perf_counter() - began < _SECONDS_AT_MOST:
        read(order.randrange(rows))
        done += 1
    return done / (time.perf_counter() - began), (time.process_time() - began_cpu) / done * 1000


def _sample(number: int, generator: np.random.Generator) -> Sample:
    return Sample(
        id=f"clip {number}",
        file_name=f"clip_{number}.mp4",
        caption="A caption.",
        vae_latent=generator.standard_normal(_LATENT, dtype=np.float32),
        text_embedding=generator.standard_normal(_TEXT, dtype=np.float32),
        width=832,
        height=480,
        duration_seconds=4.8,
        source_fps=24,
    )
