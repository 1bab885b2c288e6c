"""Inspecting tells what Parquet holds, ours or FastVideo's, and shows its rows as videos."""

import pytest

from fastvideo_engine.data.inspect import run
from fastvideo_engine.errors import DataError
from fastvideo_engine.media import probe


def test_fastvideos_parquet_is_told_in_a_table(fastvideo_fixtures, tmp_path, capsys):
    run(fastvideo_fixtures / "i2v", 0, tmp_path, None)

    told = capsys.readouterr().out
    assert "i2v: 8 clips in 1 file" in told
    assert "first frame latent   16x5x8x12 (8)" in told
    assert "tokens               14 to 34, 25.4 on average" in told
    row = next(line for line in told.splitlines() if line.startswith("b_mandelbrot"))
    assert row.split()[1:3] == ["16x5x8x12", "32"]
    assert row.endswith("data_chunk_0.parquet [1]  fractal zoom into the mandelbrot set with blue and orange c…")


def test_rows_become_videos_of_their_size_and_length(fastvideo_fixtures, tiny_wan, tmp_path):
    run(fastvideo_fixtures / "t2v" / "data_chunk_0.parquet", 2, tmp_path, str(tiny_wan))

    videos = sorted(tmp_path.iterdir())
    assert [path.name for path in videos] == ["001-a_testsrc2_160x120_24_2s.mp4", "002-e_testsrc_128x128_16_1.25s.mp4"]
    facts = probe(videos[0])
    assert (facts.width, facts.height, facts.frames, facts.fps) == (96, 64, 17, 16)


def test_rows_that_do_not_name_their_model_need_it_named(fastvideo_fixtures, tmp_path):
    with pytest.raises(DataError, match="does not say which model encoded it; name it with --model"):
        run(fastvideo_fixtures / "t2v", 1, tmp_path, None)


def test_what_is_no_parquet_is_said(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(DataError, match="is not readable as Parquet"):
        run(tmp_path, 0, tmp_path, None)
    with pytest.raises(DataError, match="There is no"):
        run(tmp_path / "nothing", 0, tmp_path, None)
