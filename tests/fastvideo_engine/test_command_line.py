"""What is typed becomes a spec and a folder, and a folder keeps to the spec it was begun with."""

from pathlib import Path

import pytest

from fastvideo_engine.command_line import keep_spec, spec_asked_for, understand
from fastvideo_engine.errors import SpecError
from fastvideo_engine.specs import GenerateSpec, PreprocessSpec, TrainSpec, read_spec

_SOURCE = {"type": "merged", "path": "/clips"}


def test_folders_in_a_spec_file_are_read_from_the_files_own_folder(tmp_path):
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "a.yaml").write_text("model: ./tiny\nsource: {type: merged, path: ../clips}\n")

    asked = understand(["preprocess", str(tmp_path / "specs" / "a.yaml"), "--set", "height=64", "--output", "out"])
    spec = spec_asked_for(asked)

    assert asked.folder.path == Path("out")
    assert (spec.model, spec.source.path) == (str(tmp_path / "specs" / "tiny"), str(tmp_path / "clips"))
    assert (spec.height, spec.width) == (64, 832)


def test_without_a_spec_file_they_are_read_from_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    spec = spec_asked_for(understand(["train", "--set", "model=./m", "--set", "parquet=p", "--output", "o"]))

    assert (spec.model, spec.parquet[0].path) == (str(tmp_path / "m"), str(tmp_path / "p"))


def test_pictures_are_read_from_there_too(tmp_path):
    (tmp_path / "a.yaml").write_text("model: ./m\nprompts: [waves, wind]\nimages: [one.png, ' ', /two.png]\n")
    (tmp_path / "b.yaml").write_text("model: ./m\nparquet: p\nvalidation: {prompts: [waves], images: [one.png]}\n")

    generate = spec_asked_for(understand(["generate", str(tmp_path / "a.yaml"), "--output", "o"]))
    train = spec_asked_for(understand(["train", str(tmp_path / "b.yaml"), "--output", "o"]))

    assert generate.images == [str(tmp_path / "one.png"), "/two.png"]
    assert train.validation.images == [str(tmp_path / "one.png")]


def test_pictures_that_do_not_go_with_the_prompts_are_refused(tmp_path):
    (tmp_path / "a.yaml").write_text("model: m\nprompts: [a, b, c]\nimages: [one.png, two.png]\n")

    with pytest.raises(SpecError, match="2 images do not go with 3 prompts; name one for each prompt, or one for all"):
        spec_asked_for(understand(["generate", str(tmp_path / "a.yaml"), "--output", "o"]))


def test_a_run_folder_holds_its_spec_and_its_folders_start_there(run_folder):
    folder = run_folder()
    folder.spec.write_text("kind: train\nmodel: owner/name\nparquet: data\n")

    asked = understand([str(folder.path), "--die-with-parent"])

    assert asked.die_with_parent
    assert spec_asked_for(asked).parquet[0].path == str(folder.path / "data")


def test_a_spec_of_another_kind_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_text("kind: train\nmodel: m\nparquet: p\n")

    with pytest.raises(SpecError, match=r"is a spec to train; begin with that instead of generate"):
        spec_asked_for(understand(["generate", str(tmp_path / "a.yaml"), "--output", "o"]))


def test_the_spec_is_kept_in_its_folder(run_folder):
    spec = PreprocessSpec(model="m", source=_SOURCE)

    keep_spec(spec, run_folder())

    assert read_spec(run_folder().spec) == spec


def test_a_folder_with_work_on_another_spec_is_refused_naming_what_differs(run_folder):
    folder = run_folder()
    keep_spec(PreprocessSpec(model="m", source=_SOURCE), folder)
    folder.ledger.mkdir()

    with pytest.raises(
        SpecError, match=r"source\.path was /clips, now /other; height was 480, now 64\).*another --output"
    ):
        keep_spec(PreprocessSpec(model="m", height=64, source={"type": "merged", "path": "/other"}), folder)


def test_a_folder_where_nothing_was_done_yet_takes_a_corrected_spec(run_folder):
    keep_spec(PreprocessSpec(model="m", source=_SOURCE), run_folder())
    keep_spec(PreprocessSpec(model="m", height=64, source=_SOURCE), run_folder())

    assert read_spec(run_folder().spec).height == 64


def test_training_may_go_on_for_more_steps_but_with_nothing_else(run_folder):
    folder = run_folder()
    keep_spec(TrainSpec(model="m", parquet="/p", steps=10), folder)
    folder.checkpoints.mkdir()

    keep_spec(TrainSpec(model="m", parquet="/p", steps=20), folder)

    assert read_spec(folder.spec).steps == 20
    with pytest.raises(SpecError, match=r"optimizer\.learning_rate was 0\.0001, now 0\.1"):
        keep_spec(TrainSpec(model="m", parquet="/p", steps=20, optimizer={"learning_rate": 0.1}), folder)


def test_a_folder_of_another_kind_of_job_is_refused(run_folder):
    folder = run_folder()
    keep_spec(TrainSpec(model="m", parquet="/p"), folder)
    folder.checkpoints.mkdir()

    with pytest.raises(SpecError, match="it is to train"):
        keep_spec(GenerateSpec(model="m", prompts=["a"]), folder)


@pytest.mark.parametrize("kind", ["import", "preprocess", "train", "generate"])
def test_help_lists_every_field_that_can_be_chosen(kind, capsys):
    with pytest.raises(SystemExit) as leaving:
        understand([kind, "--help"])

    assert leaving.value.code == 0
    told = capsys.readouterr().out
    some = {
        "import": ["video_column", "limit"],
        "preprocess": ["source.type", "One of: merged, manifest, hf.", "source.path", "height", "Default: 480."],
        "train": ["optimizer.learning_rate", "Default: 0.0001.", "validation.prompts", "tuning.rank"],
        "generate": ["prompts", "One a line. Required.", "adapter"],
    }
    assert [text for text in some[kind] if text not in told] == []
    assert "\n  kind " not in told.split("Fields of the spec:")[1]
