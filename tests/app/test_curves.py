from app import curves
from fastvideo_engine.events import EventWriter, Progress
from worker.store.tables import Job


def test_few_points_stay_as_they_are():
    points = [(step, float(step)) for step in range(10)]
    assert curves.thinned(points, 600) == points


def test_thinning_keeps_every_spike_and_the_order():
    points = [(step, 50.0 if step == 777 else 1.0 + step / 1e6) for step in range(100_000)]
    kept = curves.thinned(points, 600)
    assert len(kept) <= 600
    assert (777, 50.0) in kept
    assert kept == sorted(kept)


def test_a_step_that_a_resumed_run_says_twice_counts_as_it_was_said_last(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path))
    job = Job(id=1, kind="train", title="t", spec={}, created_at=0)
    job.folder.path.mkdir(parents=True)
    events = EventWriter(job.folder.events)
    for step, loss in ((1, 3.0), (2, 2.0)):
        events.write(Progress(done=step, total=3, metrics={"loss": loss}))
    assert curves.loss_points(job) == [(1, 3.0), (2, 2.0)]
    for step, loss in ((2, 1.5), (3, 1.0)):
        events.write(Progress(done=step, total=3, metrics={"loss": loss}))
    assert curves.loss_points(job) == [(1, 3.0), (2, 1.5), (3, 1.0)]
