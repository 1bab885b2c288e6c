"""Jobs through the real Redis, the real Celery worker, SQLite and the engine, with the ways in which they are hurt."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from diffusers import WanPipeline

from fastvideo_engine.specs import Saving, Validation
from worker import queue
from worker.store import artifacts, datasets, jobs, workers
from worker.store.tables import Job, JobStatus

REPOSITORY = Path(__file__).parents[2]
PATIENCE_SECONDS = 120


class Processes:
    """The studio's background processes, each a module that is run."""

    def __init__(self) -> None:
        self._running: dict[str, subprocess.Popen] = {}

    def start(self, module: str) -> None:
        self._running[module] = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=REPOSITORY,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )

    def end(self, module: str, number: int = signal.SIGTERM) -> None:
        process = self._running.pop(module)
        if number == signal.SIGKILL:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        process.wait(timeout=30)

    def end_all(self) -> None:
        for module in reversed(list(self._running)):
            self.end(module)


@pytest.fixture
def processes(studio_home: Path) -> Iterator[Processes]:
    started = Processes()
    started.start("worker.redis_server")
    started.start("worker")
    wait_until(lambda: workers.alive() and queue.redis_answers())
    yield started
    started.end_all()


def wait_until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        failed = [job.message for job in jobs.with_status(JobStatus.FAILED)]
        assert not failed
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.1)


def wait_for(job: Job, status: JobStatus) -> Job:
    wait_until(lambda: jobs.get(job.id).status == status)
    return jobs.get(job.id)


def engine_pids(job: Job) -> list[int]:
    listed = subprocess.run(["ps", "-wweo", "pid,args"], capture_output=True, text=True, check=True).stdout.splitlines()
    ours = f"-m fastvideo_engine {job.folder.path} "
    return [int(line.split()[0]) for line in listed if ours in line + " "]


@pytest.fixture
def fruit(take_in, clip_file, tmp_path) -> list:
    """Four clips, of which one has no caption and one is too short."""
    for name in ("a", "b", "short"):
        (tmp_path / f"{name}.txt").write_text(f"a square wanders, take {name}")
    files = [clip_file(f"{name}.mp4", seconds=1.5) for name in ("a", "b", "silent")]
    take_in(*files, clip_file("short.mp4", seconds=0.5), *(tmp_path / f"{name}.txt" for name in ("a", "b", "short")))
    return datasets.clips(1)


@pytest.fixture
def parquet_job(processes, fruit, preprocess_spec) -> Job:
    job = queue.enqueue(preprocess_spec, "fruit", dataset_id=1, clips=fruit)
    return wait_for(job, JobStatus.FINISHED)


def test_clips_become_parquet_then_an_adapter_that_diffusers_loads(parquet_job, train_spec, tiny_wan):
    assert parquet_job.message == "2 clips are ready, 2 were left out."
    left_out = {clip.clip: clip.reason for clip in artifacts.rejected_by(parquet_job.id)}
    assert left_out["silent.mp4"] == "It has no caption."
    assert "17 are needed" in left_out["short.mp4"]

    validation = Validation(prompts=["a square"], every=2, sampling_steps=2)
    parquet = f"../{parquet_job.id}/combined_parquet_dataset"
    plan = {"parquet": parquet, "steps": 4, "validation": validation, "saving": Saving(every=2)}
    spec = train_spec.model_copy(update=plan)
    job = wait_for(queue.enqueue(spec, "LoRA", parent_id=parquet_job.id), JobStatus.FINISHED)
    assert (job.status, job.done, job.total) == (JobStatus.FINISHED, 4, 4)
    assert [sample.step for sample in artifacts.of_job(job.id, "sample")] == [0, 2, 4]
    adapters = artifacts.of_job(job.id, "adapter")
    assert [adapter.step for adapter in adapters] == [2, 4]

    pipeline = WanPipeline.from_pretrained(tiny_wan)
    pipeline.load_lora_weights(str(adapters[-1].file))
    layers = len(pipeline.transformer.blocks) * 8
    assert (
        sum(name.endswith("lora_A.default_0.weight") for name, _ in pipeline.transformer.named_parameters()) == layers
    )


def test_a_stopped_run_keeps_a_checkpoint_and_resumes_from_it(processes, train_spec):
    job = queue.enqueue(train_spec.model_copy(update={"steps": 400, "saving": Saving(every=400)}), "LoRA")
    wait_until(lambda: jobs.get(job.id).done >= 3)
    jobs.request_stop(job.id)
    stopped = wait_for(job, JobStatus.STOPPED)
    at = job.folder.newest_checkpoint().step
    assert 3 <= at < 400
    assert str(at) in stopped.message
    assert queue.resume(job.id, train_spec.model_copy(update={"steps": at + 2}))
    finished = wait_for(job, JobStatus.FINISHED)
    assert (finished.status, finished.done) == (JobStatus.FINISHED, at + 2)
    assert f"Continued from step {at}" in job.folder.log.read_text()


def test_a_killed_engine_is_said_and_started_again_from_its_checkpoint(processes, train_spec):
    job = queue.enqueue(train_spec.model_copy(update={"steps": 300, "saving": Saving(every=5)}), "LoRA")
    wait_until(lambda: job.folder.newest_checkpoint())
    os.kill(engine_pids(job)[0], signal.SIGKILL)
    wait_until(lambda: "killed by signal 9" in jobs.get(job.id).message)
    finished = wait_for(job, JobStatus.FINISHED)
    assert (finished.status, finished.attempts) == (JobStatus.FINISHED, 2)
    assert "Continued from step" in job.folder.log.read_text()


def test_a_killed_worker_takes_its_engine_along_and_its_job_goes_on_when_it_is_back(processes, train_spec):
    job = queue.enqueue(train_spec.model_copy(update={"steps": 300, "saving": Saving(every=5)}), "LoRA")
    wait_until(lambda: job.folder.newest_checkpoint())
    assert engine_pids(job)
    processes.end("worker", signal.SIGKILL)
    wait_until(lambda: not engine_pids(job))
    processes.start("worker")
    finished = wait_for(job, JobStatus.FINISHED)
    assert (finished.status, finished.attempts) == (JobStatus.FINISHED, 2)


def test_a_training_that_waits_for_its_preprocessing_begins_by_itself_though_the_worker_was_killed_meanwhile(
    processes, fruit, preprocess_spec, train_spec
):
    parent = queue.enqueue(preprocess_spec, "fruit", dataset_id=1, clips=fruit)
    parquet = f"../{parent.id}/combined_parquet_dataset"
    child = queue.enqueue(train_spec.model_copy(update={"parquet": parquet, "steps": 1}), "LoRA", parent_id=parent.id)
    wait_until(lambda: jobs.get(parent.id).status == JobStatus.RUNNING)
    processes.end("worker", signal.SIGKILL)
    assert jobs.get(child.id).status == JobStatus.QUEUED
    processes.start("worker")
    trained = wait_for(child, JobStatus.FINISHED)
    assert (trained.status, trained.attempts) == (JobStatus.FINISHED, 1)
    assert jobs.get(parent.id).attempts == 2
    assert jobs.get(parent.id).finished_at <= trained.started_at


def test_a_worker_that_is_shut_down_puts_its_job_back(processes, train_spec):
    job = queue.enqueue(train_spec.model_copy(update={"steps": 2000, "saving": Saving(every=2000)}), "LoRA")
    wait_until(lambda: jobs.get(job.id).done >= 3)
    processes.end("worker")
    row = jobs.get(job.id)
    assert (row.status, row.attempts, engine_pids(job)) == (JobStatus.QUEUED, 0, [])
    assert job.folder.newest_checkpoint() is not None


def test_what_is_asked_while_redis_is_down_runs_when_it_is_back(processes, fruit, preprocess_spec):
    processes.end("worker.redis_server")
    assert not queue.redis_answers()
    job = queue.enqueue(preprocess_spec, "fruit", dataset_id=1, clips=fruit)
    assert jobs.get(job.id).status == JobStatus.QUEUED
    processes.start("worker.redis_server")
    assert wait_for(job, JobStatus.FINISHED).status == JobStatus.FINISHED


def test_a_wrong_model_fails_with_one_sentence(processes, fruit, preprocess_spec):
    spec = preprocess_spec.model_copy(update={"model": "/nowhere/wan"})
    job = queue.enqueue(spec, "fruit", clips=fruit)
    with pytest.raises(AssertionError):  # what waits says so as soon as a job has failed
        wait_for(job, JobStatus.FINISHED)
    assert (
        jobs.get(job.id).message
        == "There is no model folder at /nowhere/wan; check the path, or give a Hugging Face id."
    )
