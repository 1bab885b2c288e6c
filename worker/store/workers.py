"""Which workers are alive."""

from collections.abc import Sequence

from sqlmodel import select

from worker.store.database import now, reading, writing
from worker.store.tables import Worker

SECONDS_UNTIL_SILENT = 10
"""A worker that has said nothing for so long is taken for gone."""


def beat(name: str, pid: int, devices: Sequence[str]) -> None:
    """Say that this worker is alive."""
    with writing() as session:
        session.merge(Worker(name=name, pid=pid, devices=list(devices), heartbeat_at=now()))


def leave(name: str) -> None:
    """Say that this worker goes, so that pages need not wait for its silence."""
    with writing() as session:
        gone = session.get(Worker, name)
        if gone is not None:
            session.delete(gone)


def alive() -> list[Worker]:
    with reading() as session:
        return list(session.exec(select(Worker).where(Worker.heartbeat_at > now() - SECONDS_UNTIL_SILENT)))
