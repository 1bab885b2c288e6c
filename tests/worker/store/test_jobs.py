import threading

import pytest

from fastvideo_engine.events import ArtifactMade, ClipRejected, Finished, Note, Phase, Progress
from worker.store import artifacts, jobs
from worker.store.tables import Job, JobStatus


@pytest.fixture
def job(studio_home, train_spec) -> Job:
    return jobs.create(train_spec, "LoRA on fruit")


def claimed(job: Job) -> Job:
    taken = jobs.claim(job.id, "here", 1, ["cpu"])
    assert taken is not None
    return taken


def test_a_spec_comes_back_from_its_row_as_it_went_in(job, train_spec):
    assert jobs.spec_of(jobs.get(job.id)) == train_spec


def test_a_job_is_claimed_once_even_when_its_message_comes_twice(job):
    assert jobs.claim(job.id, "here", 1, ["cpu"]).status == JobStatus.RUNNING
    assert jobs.claim(job.id, "here", 2, ["cpu"]) is None
    assert jobs.get(job.id).worker_pid == 1


def test_of_many_claims_at_the_same_moment_one_wins(job):
    won = []
    threads = [
        threading.Thread(target=lambda pid=pid: won.append(jobs.claim(job.id, "here", pid, ["cpu"])))
        for pid in range(8)
    ]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len([claim for claim in won if claim]) == 1


def test_a_second_training_waits_until_the_device_is_free(job, train_spec):
    second = jobs.create(train_spec, "another")
    claimed(job)
    assert jobs.claim(second.id, "here", 2, ["cpu"]) is None
    jobs.finish(job.id, JobStatus.FINISHED, "done")
    assert jobs.claim(second.id, "here", 2, ["cpu"]).devices == ["cpu"]


def test_a_job_of_two_processes_takes_two_of_the_free_gpus(studio_home, train_spec):
    first = jobs.create(train_spec, "one gpu")
    second = jobs.create(train_spec.model_copy(update={"processes": 2}), "two gpus")
    assert jobs.claim(first.id, "here", 1, ["0", "1", "2"]).devices == ["0"]
    assert jobs.claim(second.id, "here", 2, ["0", "1", "2"]).devices == ["1", "2"]


def test_events_become_the_row_and_its_artifacts_and_may_come_twice(job):
    claimed(job)
    (job.folder.path / "adapter.safetensors").write_bytes(b"weights")
    events = [
        Phase(title="Training"),
        Progress(done=2, total=3, seconds_left=1.5, metrics={"loss": 0.25}),
        ClipRejected(clip="a.mp4", reason="It has no caption."),
        ArtifactMade(kind="adapter", path="adapter.safetensors", step=2, facts={"rank": 16}),
    ]
    jobs.fold(job.id, events, 100)
    jobs.fold(job.id, events, 100)
    row = jobs.get(job.id)
    assert (row.phase, row.done, row.total, row.metrics, row.events_read) == ("Training", 2, 3, {"loss": 0.25}, 100)
    assert [(artifact.step, artifact.facts) for artifact in artifacts.of_job(job.id, "adapter")] == [(2, {"rank": 16})]
    assert [clip.reason for clip in artifacts.rejected_by(job.id)] == ["It has no caption."]


def test_an_artifact_whose_file_is_gone_is_not_listed(job):
    claimed(job)
    jobs.fold(job.id, [ArtifactMade(kind="adapter", path="gone.safetensors", step=1)], 1)
    assert artifacts.of_job(job.id, "adapter") == []


def test_the_last_word_stays_when_a_job_ends(job):
    claimed(job)
    jobs.fold(job.id, [Note(text="Continued from step 1."), Finished(text="3 steps are done.")], 9)
    assert jobs.get(job.id).message == "3 steps are done."


def test_stopping_a_job_that_waits_ends_it_at_once(job):
    jobs.request_stop(job.id)
    assert jobs.get(job.id).status == JobStatus.STOPPED


def test_stopping_a_running_job_leaves_a_wish_that_its_heartbeat_sees(job):
    claimed(job)
    assert jobs.beat(job.id) is False
    jobs.request_stop(job.id)
    assert jobs.beat(job.id) is True
    assert jobs.get(job.id).status == JobStatus.RUNNING


def test_a_stopped_job_can_be_resumed_and_a_running_one_cannot(job):
    claimed(job)
    assert jobs.resume(job.id) == []
    jobs.finish(job.id, JobStatus.STOPPED, "Stopped at step 2.")
    assert [resumed.id for resumed in jobs.resume(job.id)] == [job.id]
    row = jobs.get(job.id)
    assert (row.status, row.attempts, row.stop_requested) == (JobStatus.QUEUED, 0, False)


def test_an_interruption_that_is_nobodys_fault_does_not_count_as_an_attempt(job):
    claimed(job)
    jobs.requeue(job.id, "The worker was shut down.", counts=False)
    assert (jobs.get(job.id).status, jobs.get(job.id).attempts) == (JobStatus.QUEUED, 0)


def test_finishing_a_job_that_no_longer_runs_changes_nothing(job):
    jobs.finish(job.id, JobStatus.FINISHED, "late")
    assert jobs.get(job.id).status == JobStatus.QUEUED
