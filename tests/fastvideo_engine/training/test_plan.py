"""A dry run: the numbers are those of the run, what would fail is said, and nothing is written."""

from dataclasses import replace

import pytest
import torch

from fastvideo_engine.__main__ import carry_out, main
from fastvideo_engine.distributed import Ranks
from fastvideo_engine.errors import SpecError
from fastvideo_engine.fastvideo_flags.train import asked_by
from fastvideo_engine.specs import Full, Lora, ParquetFolder, Validation, Vsa
from fastvideo_engine.specs.scale import Scale
from fastvideo_engine.training import plan
from fastvideo_engine.training.fit import checked_material
from fastvideo_engine.training.loop import run
from fastvideo_engine.training.trained import trained_weights
from fastvideo_engine.training.tuning import load_to_train

CPU = torch.device("cpu")
_LAYERS = 2  # of the small Wan


@pytest.mark.parametrize(
    "changes", [{"tuning": Full()}, {"tuning": Lora(rank=3), "attention": Vsa()}, {"tuning": Lora(), "ema_decay": 0.9}]
)
def test_the_weights_and_the_checkpoint_are_those_of_the_run(train_spec, run_folder, changes):
    spec, folder = train_spec(steps=1, **changes), run_folder()
    made = plan.plan_of(spec, checked_material(spec), CPU)
    run(spec, folder)

    material = checked_material(spec)
    transformer = load_to_train(material.model, "transformer", material.family, spec, Ranks(0, 1, CPU))
    assert made.trained == sum(weight.numel() for weight in trained_weights(transformer).values())
    assert made.parameters == sum(weight.numel() for weight in transformer.parameters())
    written = [path for path in folder.newest_checkpoint().path.rglob("*") if path.is_file()]
    # Files of some hundred kilobytes are in part names and headers.
    assert made.checkpoint == pytest.approx(sum(path.stat().st_size for path in written), rel=0.25)


def test_epochs_and_tokens_are_counted_over_all_processes(train_spec, fastvideo_fixtures):
    twice = (ParquetFolder(path=str(fastvideo_fixtures / "t2v"), weight=2),)
    spec = train_spec(parquet=twice, steps=6, batch_size=2, gradient_accumulation=2, processes=4, latent_frames=3)
    made = plan.plan_of(spec, checked_material(spec), CPU)

    assert (made.clips, made.tokens) == ({(16, 3, 8, 12): 16}, {(16, 3, 8, 12): 72})
    assert (made.clips_a_step, made.epochs) == (16, 6.0)
    assert made.memory.total == pytest.approx(4 * made.parameters + 12 * made.trained + made.memory.activations)


def test_shards_divide_what_is_held_but_not_the_blocks_at_work(train_spec):
    asked = {"tuning": Full(), "ema_decay": 0.9, "processes": 4, "precision": "bfloat16"}
    material = checked_material(train_spec(**asked))
    whole, shard = (
        plan.plan_of(train_spec(**asked, scale=Scale(hsdp_shard_dim=shards)), material, CPU) for shards in (1, 4)
    )
    # Float32 weights, gradients, two means and an average; unsharded, autocast's copies in bfloat16 besides.
    assert (whole.memory.held, shard.memory.held) == (22 * whole.parameters, 20 * whole.parameters / 4)
    assert (whole.memory.gathered, shard.memory.gathered) == (0, 2 * 2 * whole.parameters / _LAYERS)
    assert shard.memory.activations == whole.memory.activations


def test_offloading_leaves_a_gpu_the_blocks_at_work_alone(train_spec, run_folder):
    spec = train_spec(tuning=Full(), precision="bfloat16", scale=Scale(cpu_offload=True))
    made = plan.plan_of(spec, checked_material(spec), torch.device("cuda"))
    assert made.memory.total == 2 * 2 * made.parameters / _LAYERS + made.memory.activations
    assert made.memory.held == 16 * made.parameters
    told = plan.lines(replace(made, memory=replace(made.memory, weights=7e9)), spec, run_folder(), CPU)
    assert any("GB of main memory: weights 7 GB" in line for line in told)
    assert plan.plan_of(spec, checked_material(spec), CPU).memory.total > made.memory.held


def test_computing_again_and_sharing_clips_take_less_memory(train_spec):
    def asked(**scale):
        spec = train_spec(processes=2, precision="bfloat16", scale=Scale(**scale))
        made = plan.plan_of(spec, checked_material(spec), CPU)
        return made.memory.activations, made.operations_a_step

    none, selective, full = (asked(activation_checkpointing=what) for what in ("none", "selective", "full"))
    assert none[0] > selective[0] > full[0]
    assert none[1] < selective[1] < full[1]
    assert asked(sp_size=2) == (none[0] / 2, none[1] / 2)


def test_a_dry_run_prints_the_plan_and_writes_nothing(tiny_wan, fastvideo_fixtures, tmp_path, capsys):
    fields = [
        f"model={tiny_wan}",
        f"parquet={fastvideo_fixtures / 't2v'}",
        "validation.prompts=[a ball]",
        "processes=2",
    ]
    arguments = ["train", *(part for field in fields for part in ("--set", field)), "--output", str(tmp_path / "run")]

    assert main([*arguments, "--dry-run"]) == main([*arguments, "--dry_run"]) == 0
    told = capsys.readouterr().out
    assert "8 of 16x5x8x12 (120 tokens) in an epoch" in told
    assert "24,576 are trained" in told
    assert not (tmp_path / "run").exists()


def test_fastvideos_command_has_a_dry_run_too(tiny_wan, fastvideo_fixtures, tmp_path, capsys):
    paths = ["--model_path", str(tiny_wan), "--data_path", str(fastvideo_fixtures / "t2v"), "--num_gpus", "2"]
    rest = [
        "--output_dir",
        str(tmp_path / "run"),
        "--max_train_steps",
        "4",
        "--learning_rate",
        "1e-4",
        "--tp_size",
        "1",
        "--sp_size",
        "1",
    ]

    assert carry_out(asked_by([*paths, *rest, "--dry_run"])) == 0
    told = capsys.readouterr().out
    assert "No effect in training: --tp-size." in told
    assert "Steps       4, 1 epochs" in told
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"validation": Validation(prompts=["a"], height=50)}, "The validation videos: .*height divisible by 16"),
        ({"validation": Validation(prompts=["a"], images=["b.png"])}, "Wan takes no images"),
        ({"tuning": Lora(targets=["nothing"])}, "No linear layer of this model is called nothing"),
        ({"workload": "i2v"}, "Wan is not made for i2v"),
    ],
)
def test_what_would_fail_is_said(train_spec, run_folder, changes, sentence):
    with pytest.raises(SpecError, match=sentence):
        plan.run(train_spec(**changes), run_folder())


def test_a_failing_dry_run_leaves_a_folder_as_it_was(tiny_wan, tmp_path, run_folder, capsys):
    folder = run_folder()
    given = ["--set", f"model={tiny_wan}", "--set", f"parquet={tmp_path}", "--output", str(folder.path)]

    assert main(["train", *given, "--dry-run"]) == 1
    assert "holds no .parquet files" in capsys.readouterr().err
    assert list(folder.path.iterdir()) == []
