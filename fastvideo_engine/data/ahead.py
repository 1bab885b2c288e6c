"""Do slow work on a few items ahead of the one that is needed now."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def worked_ahead(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Iterator[tuple[Item, Callable[[], Result]]]:
    """Yield each item in order with a call that returns its result, or raises what the work raised.

    So many items as there are threads are worked on ahead, and no more results than that are held.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="ahead")
    upcoming: deque[tuple[Item, Future[Result]]] = deque()
    try:
        for item in items:
            upcoming.append((item, pool.submit(work, item)))
            if len(upcoming) > threads:
                first, future = upcoming.popleft()
                yield first, future.result
        while upcoming:
            first, future = upcoming.popleft()
            yield first, future.result
    finally:
        pool.shutdown(cancel_futures=True)
