"""FastVideo's preprocessing command means here what its documentation says, however its flags are spelled."""

import json
import os
import shlex
import subprocess
import sys

import datasets
import pyarrow.parquet as pq
import pytest

from fastvideo_engine.__main__ import carry_out
from fastvideo_engine.command_line import spec_asked_for
from fastvideo_engine.events import Note
from fastvideo_engine.fastvideo_flags.preprocess import asked_by, flag_parser

_NEEDED = ["--model_path", "owner/model", "--preprocess.dataset_path", "owner/data"]
# FastVideo's documentation, docs/training/data_preprocess.md, but for the module's name and the paths.
_DOCUMENTED = (
    "--model_path owner/model --mode preprocess --workload_type t2v --preprocess.dataset_type merged "
    "--preprocess.dataset_path ./clips --preprocess.dataset_output_dir ./ready "
    "--preprocess.video_loader_type torchvision --preprocess.max_height 480 --preprocess.max_width 832 "
    "--preprocess.num_frames 77 --preprocess.train_fps 16"
)
# Name, default, another value, and the field of the spec that the other value ends up in.
_TABLE = [
    ("model_path", "", "b/c", "model", "b/c"),
    ("dataset_path", "", "d/e", "source.path", "d/e"),
    ("dataset_type", "hf", "merged", "source.type", "merged"),
    ("dataset_output_dir", "./output", "out", None, None),
    ("dataloader_num_workers", 1, "3", "decoding.workers", 3),
    ("preprocess_video_batch_size", 2, "5", "encoding.batch_size", 5),
    ("samples_per_file", 64, "8", "output.samples_per_file", 8),
    ("flush_frequency", 256, "9", "output.flush_frequency", 9),
    ("video_loader_type", "torchcodec", "torchvision", "decoding.decoder", "pyav"),
    ("max_height", 480, "720", "height", 720),
    ("max_width", 848, "1280", "width", 1280),
    ("num_frames", 163, "77", "frames", 77),
    ("video_length_tolerance_range", 2.0, "5", "selection.longest", 5.0),
    ("train_fps", 30, "16", "fps", 16.0),
    ("speed_factor", 1.0, "1.5", "selection.speed_factor", 1.5),
    ("drop_short_ratio", 1.0, "0.25", "selection.drop_short_ratio", 0.25),
    ("do_temporal_sample", False, "true", "selection.long_clips", "random"),
    ("training_cfg_rate", 0.0, "0.1", "captions.training_cfg_rate", 0.1),
    ("with_audio", False, "true", None, None),
    ("seed", 42, "7", "seed", 7),
    ("parity", "none", "fastvideo", "parity", "fastvideo"),
]


def _spec(*arguments):
    return spec_asked_for(asked_by([*_NEEDED, *arguments]))


def _field(spec, name):
    for part in name.split("."):
        spec = getattr(spec, part)
    return spec


@pytest.mark.parametrize(("name", "default"), [(row[0], row[1]) for row in _TABLE])
def test_the_default_is_fastvideos(name, default):
    dest = f"preprocess.{name.replace('_', '-')}"

    value = flag_parser().get_default(dest)

    assert (value, type(value)) == (default, type(default))


@pytest.mark.parametrize(("name", "value", "field", "meaning"), [(row[0], *row[2:]) for row in _TABLE if row[3]])
@pytest.mark.parametrize("spelling", ["dashes", "underscores"])
@pytest.mark.parametrize("equals", [True, False])
def test_both_spellings_mean_the_field(name, value, field, meaning, spelling, equals):
    flag = f"--preprocess.{name if spelling == 'underscores' else name.replace('_', '-')}"

    spec = _spec(*([f"{flag}={value}"] if equals else [flag, value]))

    assert _field(spec, field) == meaning


def test_the_documented_command_asks_for_what_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = asked_by(shlex.split(_DOCUMENTED))
    spec = spec_asked_for(asked)

    assert (spec.source.type, spec.source.path) == ("merged", str(tmp_path / "clips"))
    assert (spec.height, spec.width, spec.frames, spec.fps) == (480, 832, 77, 16)
    assert (spec.model, spec.workload, spec.decoding.decoder) == ("owner/model", "t2v", "pyav")
    assert str(asked.folder.path) == "ready"
    assert asked.notices == [
        "torchvision no longer reads video: `torchvision` means PyAV here, which gives the same frames."
    ]


def test_what_is_not_said_is_as_fastvideo_does_it():
    spec = _spec()

    assert (spec.source.type, spec.source.split, spec.held_out.split) == ("hf", "train", "automatic")
    assert (spec.captions.choice, spec.selection.longest, spec.parity, spec.max_bad_share) == ("random", 2, "none", 0.5)
    assert (spec.encoding.vae_precision, spec.encoding.text_precision) == ("float32", "float32")


def test_fastvideos_own_number_of_frames_is_brought_to_what_the_vae_keeps():
    asked = asked_by(_NEEDED)

    assert spec_asked_for(asked).frames == 161
    assert asked.notices == ["Of 163 frames the VAE keeps 161 (4k+1), so 161 are taken."]


@pytest.mark.parametrize(
    ("typed", "meaning"), [([], "random"), (["true"], "random"), (["False"], "head"), (["TRUE"], "random")]
)
def test_a_yes_or_no_may_stand_alone_or_say_which(typed, meaning):
    assert _spec("--preprocess.do_temporal_sample", *typed).selection.long_clips == meaning


def test_the_general_flags_are_understood():
    spec = _spec(
        "--workload-type=i2v", "--vae_precision", "bf16", "--text-encoder-precisions", "bf16", "--max_bad_share", "0.1"
    )

    assert (spec.workload, spec.max_bad_share) == ("i2v", 0.1)
    assert (spec.encoding.vae_precision, spec.encoding.text_precision) == ("bfloat16", "bfloat16")


def test_the_model_of_preprocessing_goes_before_the_general_one():
    assert _spec("--preprocess.model-path", "a/b").model == "a/b"


def test_flags_of_generation_are_named_once_and_do_nothing():
    asked = asked_by(
        [*_NEEDED, "--num_gpus", "2", "--vae-cpu-offload", "--bsa-chunk-q", "4", "4", "4", "--VSA_sparsity=0.5"]
    )

    assert (
        asked.notices[-1] == "No effect in preprocessing: --num-gpus, --vae-cpu-offload, --bsa-chunk-q, --VSA-sparsity."
    )
    assert spec_asked_for(asked) == _spec()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([*_NEEDED, "--preprocess.max_hight", "480"], "unrecognized arguments: --preprocess.max-hight"),
        ([*_NEEDED, "--mode", "inference"], "argument --mode: invalid choice: 'inference'"),
        ([*_NEEDED, "--preprocess.do_temporal_sample", "maybe"], "`maybe` is neither true nor false"),
        (_NEEDED[:2], "--preprocess.dataset-path is missing; give a folder"),
        (_NEEDED[2:], "--model-path is missing; give a folder"),
    ],
)
def test_a_mistake_leaves_with_a_sentence(arguments, sentence, capsys):
    with pytest.raises(SystemExit) as leaving:
        asked_by(arguments)

    assert leaving.value.code == 2
    assert sentence in capsys.readouterr().err


def test_help_names_every_flag(capsys):
    with pytest.raises(SystemExit):
        asked_by(["--help"])

    told = capsys.readouterr().out
    assert [row[0] for row in _TABLE if f"--preprocess.{row[0].replace('_', '-')}" not in told] == []


def test_a_dataset_with_a_validation_split_is_held_out_as_fastvideo_does(tmp_path, make_clip, tiny_wan, run_folder):
    clip = make_clip(tmp_path / "a.mp4", seconds=1).read_bytes()
    splits = {"train": ["a", "b"], "validation": ["c"]}
    saved = {
        split: datasets.Dataset.from_dict({"video": [clip] * len(names), "caption": names, "name": names})
        for split, names in splits.items()
    }
    datasets.DatasetDict(saved).save_to_disk(str(tmp_path / "data"))
    sizes = {"max_height": 32, "max_width": 48, "num_frames": 5, "train_fps": 16, "video_length_tolerance_range": 5}
    flags = [f"--preprocess.{name}={value}" for name, value in sizes.items()]
    paths = {"dataset_path": tmp_path / "data", "dataset_output_dir": run_folder().path}

    code = carry_out(
        asked_by(["--model_path", str(tiny_wan), *flags, *(f"--preprocess.{each}={paths[each]}" for each in paths)])
    )

    assert code == 0
    assert sorted(pq.read_table(run_folder().parquet)["id"].to_pylist()) == ["a", "b"]
    held_out = run_folder().path / "validation_parquet_dataset"
    assert pq.read_table(held_out)["id"].to_pylist() == ["c"]


@pytest.mark.slow
def test_the_documented_command_runs_in_two_processes(tmp_path, tiny_wan, merged_dataset, run_folder, events_of):
    small = {"owner/model": tiny_wan, "./clips": merged_dataset, "./ready": tmp_path / "run", "480": 64, "832": 96}
    small["77"] = 17
    arguments = [str(small.get(word, word)) for word in shlex.split(_DOCUMENTED)]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command = [*launcher, "-m", "fastvideo_engine.preprocess", *arguments, "--preprocess.parity", "fastvideo"]

    told = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300
    )

    assert told.returncode == 0, told.stderr
    folder = run_folder()
    listed = {entry["path"] for entry in json.loads((merged_dataset / "videos2caption.json").read_text())}
    too_long = {"d_bars_200x112_24_3s.mp4"}  # more than twice as long as 17 frames take
    assert set(pq.read_table(folder.parquet)["id"].to_pylist()) == listed - too_long
    assert {file.parent.name for file in folder.parquet.rglob("*.parquet")} == {"worker_0", "worker_1"}
    assert [note.text for note in events_of(folder, Note)].count(asked_by(shlex.split(_DOCUMENTED)).notices[0]) == 1
