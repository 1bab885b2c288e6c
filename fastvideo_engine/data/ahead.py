"""Do slow work on a few items ahead of the one that is needed now."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from fastvideo_engine.data.stages import timed

Item = TypeVar("Item")
Result = TypeVar("Result")


def worked_ahead(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Iterator[tuple[Item, Callable[[], Result]]]:
    """Yield each item in order with a call that returns its result, or raises what the work raised.

    So many items as there are threads are worked on ahead, and no more results than that are held; with none, the
    call does the work. Items are taken from where this is iterated, only as many as that.
    """
    if threads == 0:
        for item in items:
            yield item, partial(_waited_for, partial(_done, work, item))
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix="ahead")
    upcoming: deque[tuple[Item, Future[Result]]] = deque()
    try:
        for item in items:
            upcoming.append((item, pool.submit(_done, work, item)))
            if len(upcoming) > threads:
                yield _first_of(upcoming)
        while upcoming:
            yield _first_of(upcoming)
    finally:
        pool.shutdown(cancel_futures=True)


def _first_of(upcoming: deque[tuple[Item, Future[Result]]]) -> tuple[Item, Callable[[], Result]]:
    item, future = upcoming.popleft()
    return item, partial(_waited_for, future.result)


def _done(work: Callable[[Item], Result], item: Item) -> Result:
    with timed("read"):
        return work(item)


def _waited_for(result: Callable[[], Result]) -> Result:
    with timed("wait"):
        return result()
