"""Which clips make which batch: of one group each, fair shares in every stretch, new orders, and the same for all."""

from collections import Counter
from itertools import chain

import pytest

from fastvideo_engine.data.mixing import Mixture


def test_each_epoch_has_every_clip_once_in_another_order():
    mixture = Mixture((range(10),), seed=1)
    epochs = [mixture.batch(number, 10) for number in range(3)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert epochs[0] != Mixture((range(10),), seed=2).batch(0, 10)


def test_how_large_batches_are_changes_nothing_of_the_order_of_one_group():
    mixture = Mixture((range(7),), seed=3)
    assert [*chain(*(mixture.batch(number, 2) for number in range(9)))] == mixture.batch(0, 18)


def test_fewer_clips_than_a_batch_come_round_again():
    assert sorted(Mixture((range(2),), seed=0).batch(0, 6)) == [0, 0, 0, 1, 1, 1]


def test_a_batch_is_of_one_group_and_its_clips_come_equally_often():
    groups = ([0, 1, 2, 3], [4, 5], [6, 6, 7, 7, 8, 8])  # those of the last come twice as often
    mixture = Mixture(groups, seed=5)
    batches = [mixture.batch(number, 2) for number in range(6)]  # one epoch: 12 visits
    assert all(any(set(batch) <= set(group) for group in groups) for batch in batches)
    assert Counter(chain(*batches)) == Counter(chain(*groups))


def test_shares_are_fair_in_every_stretch_and_turns_are_mixed():
    groups = (range(300), range(300, 400))
    mixture = Mixture(groups, seed=7)
    turns = [mixture.batch(number, 4)[0] >= 300 for number in range(1000)]
    assert all(abs(sum(turns[start : start + 40]) - 10) <= 3 for start in range(0, 960, 10))
    assert sum(turns) == 250
    assert turns[:100] != turns[100:200]


@pytest.mark.parametrize("number", [0, 17, 12345])
def test_a_batch_is_the_same_whatever_was_asked_before(number):
    fresh, used = Mixture((range(9), range(9, 14)), seed=2), Mixture((range(9), range(9, 14)), seed=2)
    for before in range(number + 5, max(0, number - 20), -1):
        used.batch(before, 3)
    assert fresh.batch(number, 3) == used.batch(number, 3)
