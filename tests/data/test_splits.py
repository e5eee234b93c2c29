"""The split of a group by its hash: the same everywhere and for ever, 70 : 10 : 20."""

from collections import Counter

import pytest

from polyclip.data.splits import SPLITS, assign_split


def test_shares_are_those_of_the_docs() -> None:
    found = Counter(assign_split(f"group {number}") for number in range(5000))
    share = {split: found[split] / 5000 for split in SPLITS}
    assert share == pytest.approx({"train": 0.7, "validation": 0.1, "test": 0.2}, abs=0.02)


def test_a_group_stays_in_its_split_from_release_to_release() -> None:
    wanted = {
        "group 0": "test",
        "group 1": "test",
        "group 2": "test",
        "group 3": "train",
        "group 4": "train",
        "group 5": "test",
        "group 6": "train",
        "group 7": "train",
        "group 11": "validation",
        "1F600": "train",
        "mbwa": "test",
        "": "train",
    }
    assert {group: assign_split(group) for group in wanted} == wanted
    assert set(wanted.values()) == set(SPLITS)
