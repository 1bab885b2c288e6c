"""Work ahead is bounded, in order, and its failures come with their item."""

import gc
import logging
import threading
import time
import weakref

import pytest

from fastvideo_engine.data.ahead import worked_ahead
from fastvideo_engine.data.stages import STAGES


def test_results_come_in_the_order_of_the_items():
    def slower_first(number):
        time.sleep(0.02 * (3 - number % 3))
        return number * 10

    assert [(item, result()) for item, result in worked_ahead(slower_first, range(7), threads=3)] == [
        (number, number * 10) for number in range(7)
    ]


def test_no_more_is_worked_on_than_allowed():
    begun = []
    ahead = worked_ahead(begun.append, range(100), threads=2)

    next(ahead)
    time.sleep(0.05)

    assert len(begun) == 3  # the one handed out, and two ahead
    ahead.close()
    assert threading.active_count() < 20


def test_a_failure_is_raised_where_its_result_is_asked_for():
    ahead = worked_ahead(lambda number: 1 / number, [1, 0, 2], threads=1)

    assert next(ahead)[1]() == 1
    with pytest.raises(ZeroDivisionError):
        next(ahead)[1]()
    assert next(ahead)[1]() == 0.5


def test_with_no_threads_the_work_is_done_when_its_result_is_asked_for():
    begun = []
    results = [result for _, result in worked_ahead(begun.append, range(3), threads=0)]

    assert begun == []
    results[1]()
    assert begun == [1]


def test_results_that_were_handed_out_are_not_kept():
    class Frames:
        pass

    ahead = worked_ahead(lambda _: Frames(), range(100), threads=1)
    seen = weakref.ref(next(ahead)[1]())
    next(ahead)
    gc.collect()

    assert seen() is None


def test_the_time_spent_reading_and_waiting_is_told_to_those_who_listen(caplog):
    with caplog.at_level(logging.DEBUG, logger=STAGES.name):
        for _, result in worked_ahead(lambda _: time.sleep(0.01), range(3), threads=2):
            result()

    stages = [record.stage for record in caplog.records]
    assert (stages.count("read"), stages.count("wait")) == (3, 3)
    assert sum(record.seconds for record in caplog.records if record.stage == "read") >= 0.03
