"""Jobs that need the result of another: they start after it, and not at all when it comes to a bad end."""

import pytest

from worker.store import jobs
from worker.store.tables import Job, JobStatus


@pytest.fixture
def parent(studio_home, preprocess_spec) -> Job:
    return jobs.create(preprocess_spec, "clips")


@pytest.fixture
def child(parent, train_spec) -> Job:
    return jobs.create(train_spec, "LoRA", parent_id=parent.id)


def claim(job: Job) -> Job | None:
    return jobs.claim(job.id, "here", 1, ["cpu", "another"])


def status(job: Job) -> JobStatus:
    return jobs.get(job.id).status


def test_it_is_ready_once_its_parent_is_finished_and_not_before(parent, child):
    assert [job.id for job in jobs.ready()] == [parent.id]
    assert claim(child) is None
    assert jobs.awaited_by(child).id == parent.id
    claim(parent)
    assert (jobs.ready(), claim(child)) == ([], None)
    jobs.finish(parent.id, JobStatus.FINISHED, "24 clips are ready.")
    assert [job.id for job in jobs.ready()] == [child.id]
    assert jobs.awaited_by(child) is None
    assert claim(child).status == JobStatus.RUNNING


def test_it_goes_on_waiting_while_its_parent_is_put_back_into_the_queue(parent, child):
    claim(parent)
    jobs.requeue(parent.id, "The worker died.")
    assert status(child) == JobStatus.QUEUED
    assert [job.id for job in jobs.ready()] == [parent.id]


@pytest.mark.parametrize(("ended", "how"), [(JobStatus.FAILED, "failed"), (JobStatus.STOPPED, "was stopped")])
def test_it_fails_with_the_reason_when_its_parent_did_not_finish(parent, child, train_spec, ended, how):
    grandchild = jobs.create(train_spec, "another", parent_id=child.id)
    claim(parent)
    jobs.finish(parent.id, ended, "no")
    row = jobs.get(child.id)
    assert row.message == f"Job #{parent.id}, whose result this one needs, {how}; press Resume to go on with both."
    assert (row.status, row.finished_at is not None, status(grandchild)) == (JobStatus.FAILED, True, JobStatus.FAILED)
    assert status(jobs.create(train_spec, "too late", parent_id=parent.id)) == JobStatus.FAILED


def test_a_parent_that_is_stopped_before_it_began_takes_it_along(parent, child):
    jobs.request_stop(parent.id)
    assert (status(parent), status(child)) == (JobStatus.STOPPED, JobStatus.FAILED)


def test_stopping_it_leaves_its_parent_alone(parent, child):
    jobs.request_stop(child.id)
    assert (status(parent), status(child)) == (JobStatus.QUEUED, JobStatus.STOPPED)


def test_resuming_it_resumes_its_parent_first(parent, child, train_spec):
    jobs.request_stop(parent.id)
    changed = train_spec.model_copy(update={"steps": 9})
    assert [job.id for job in jobs.resume(child.id, changed)] == [parent.id, child.id]
    assert (status(parent), status(child)) == (JobStatus.QUEUED, JobStatus.QUEUED)
    assert [jobs.get(job.id).spec["kind"] for job in (parent, child)] == ["preprocess", "train"]
    assert jobs.get(child.id).spec["steps"] == 9
    assert [job.id for job in jobs.ready()] == [parent.id]
