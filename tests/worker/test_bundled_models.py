import logging
import shutil
from pathlib import Path

import pytest

from app import base_models
from fastvideo_engine import assets
from worker import bundled_models, settings


@pytest.fixture
def bundled(tmp_path: Path, tiny_wan: Path, studio_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model that comes with the studio."""
    shutil.copytree(tiny_wan, tmp_path / "assets" / "tiny-wan")
    monkeypatch.setattr(assets, "MODELS", tmp_path / "assets")
    return tmp_path / "assets" / "tiny-wan"


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_bundled_model_is_copied_where_runs_name_it(bundled):
    bundled_models.unpack()
    (settings.runs() / "1").mkdir(parents=True)
    assert files(settings.runs() / "1" / base_models.TINY_WAN) == files(bundled) != {}


def test_a_copy_that_is_the_same_is_not_made_again(bundled):
    bundled_models.unpack()
    made = (settings.models() / "tiny-wan").stat().st_ino
    (bundled / "model_index.json").touch()  # as a new checkout does
    bundled_models.unpack()
    assert (settings.models() / "tiny-wan").stat().st_ino == made


def test_a_changed_model_takes_the_place_of_its_old_copy_and_leaves_nothing_of_it(bundled):
    bundled_models.unpack()
    (bundled / "model_index.json").write_text('{"_class_name": "Another"}')
    bundled_models.unpack()
    assert files(settings.models() / "tiny-wan") == files(bundled)
    assert sorted(path.name for path in settings.models().iterdir()) == [".lock", "tiny-wan"]


def test_a_half_made_copy_is_made_whole(bundled):
    bundled_models.unpack()
    (settings.models() / "tiny-wan" / "vae" / "config.json").unlink()
    bundled_models.unpack()
    assert files(settings.models() / "tiny-wan") == files(bundled)


def test_a_home_that_takes_no_files_is_told_of_and_no_reason_not_to_start(bundled, caplog):
    settings.home().mkdir()
    (settings.home() / "models").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        bundled_models.unpack()
    assert "make room there" in caplog.text
