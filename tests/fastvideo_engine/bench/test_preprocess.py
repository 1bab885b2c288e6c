"""The bench runs end to end, compares what it times, and leaves its figures; how fast anything is, no test says."""

import json

import numpy as np
import pytest
import torch

from fastvideo_engine.__main__ import main
from fastvideo_engine.bench.clips import SOURCE_FPS, make_clips
from fastvideo_engine.bench.plain_loop import run as run_plainly
from fastvideo_engine.data.parquet import tensor_of
from fastvideo_engine.media import probe
from fastvideo_engine.specs import Manifest, PreprocessSpec

_SMALL = ["--height", "64", "--width", "96", "--frames", "5", "--rows", "2", "--rounds", "1"]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    out = tmp_path_factory.mktemp("bench") / "results.json"
    assert main(["bench", "preprocess", "--clips", "2", *_SMALL, "--out", str(out)]) == 0
    return json.loads(out.read_text())


@pytest.mark.slow  # three processes that each load the models
def test_all_three_ways_are_measured_against_the_plain_one(results):
    ways = {each["variant"]: each for each in results["preprocess"]}
    assert list(ways) == ["plain", "ours, nothing ahead", "ours"]
    assert ways["plain"]["times_plain"] == 1
    assert all(each["encode"] > 0 and each["read"] > 0 and each["write"] > 0 for each in ways.values())
    assert all(each["peak_mib"] > 100 for each in ways.values())


@pytest.mark.slow
def test_every_way_meets_every_clip_once_and_gives_the_same_latents(results):
    assert {name: sum(run["clips"] for run in runs) for name, runs in results["rounds"].items()} == {
        "plain": 2,
        "ours, nothing ahead": 2,
        "ours": 2,
    }
    assert results["latent_difference"] < 1e-4


@pytest.mark.slow
def test_reads_are_measured_at_fastvideos_row_groups_and_ours(results):
    assert [each["variant"] for each in results["reads"]] == [
        "our reader, 1 row a group",
        "FastVideo's way, 64 a group",
        "FastVideo's way, 8 a group",
        "FastVideo's way, 1 a group",
    ]


def test_a_bench_of_no_clips_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["bench", "preprocess", "--clips", "0"])
    assert "0 is less than 1" in capsys.readouterr().err


def test_generated_clips_are_long_and_wide_enough_and_unlike_each_other(tmp_path):
    first, second = make_clips(tmp_path, 2, 64, 96, seconds=0.5)
    facts = probe(tmp_path / "clip_000.mp4")
    assert (facts.fps, facts.height) == (SOURCE_FPS, 64)
    assert facts.width >= 96
    assert facts.duration_seconds >= 0.5
    assert first["caption"] != second["caption"]
    assert (tmp_path / "clip_000.mp4").read_bytes() != (tmp_path / "clip_001.mp4").read_bytes()


def test_the_plain_loop_gives_the_latents_that_fastvideo_wrote(fastvideo_fixtures, tiny_wan, run_folder, tmp_path):
    clip = fastvideo_fixtures / "dataset" / "videos" / "a_testsrc2_160x120_24_2s.mp4"
    manifest = tmp_path / "clips.jsonl"
    manifest.write_text(json.dumps({"path": str(clip), "caption": "A test."}))
    shape = {"height": 64, "width": 96, "frames": 17, "fps": 16, "parity": "fastvideo"}
    folder = run_folder()
    run_plainly(PreprocessSpec(model=str(tiny_wan), source=Manifest(path=str(manifest)), **shape), folder)
    [file] = folder.parquet.glob("*.parquet")
    theirs = fastvideo_fixtures / "t2v" / "data_chunk_0.parquet"
    np.testing.assert_allclose(tensor_of(file, 0, "vae_latent"), tensor_of(theirs, 0, "vae_latent"), atol=1e-2)
    assert torch.isfinite(torch.from_numpy(tensor_of(file, 0, "text_embedding"))).all()
