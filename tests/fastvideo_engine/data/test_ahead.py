"""Work ahead is bounded, in order, and its failures come with their item."""

import threading
import time

import pytest

from fastvideo_engine.data.ahead import worked_ahead


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
