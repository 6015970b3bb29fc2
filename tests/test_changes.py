"""What differs between two runs is named, and nothing else."""

from __future__ import annotations

from descscore.changes import changes

RECIPE = {"seed": 0, "about": "", "duration": {"epochs": 2}, "sources": [{"batch": 8}]}


def test_only_what_differs_is_named_with_both_values() -> None:
    assert changes(RECIPE, RECIPE | {"seed": 1}) == "seed was 0 and is now 1"
    assert changes({"a": 1}, {"a": 1, "b": "x"}) == "b was not set and is now x"
    assert changes({"a": False}, {"a": True}) == "a was false and is now true"
    assert changes({"a": [1, 2]}, {"a": [1, 3]}) == "a was [1, 2] and is now [1, 3]"
    assert changes({"a": "x"}, {"a": ""}) == 'a was x and is now ""'


def test_nested_values_have_dotted_names() -> None:
    other = RECIPE | {"duration": {"epochs": 3}, "sources": [{"batch": 4}, {"batch": 4}]}
    assert changes(RECIPE, other) == (
        "duration.epochs was 2 and is now 3, sources.0.batch was 8 and is now 4, "
        'sources.1 was not set and is now {"batch": 4}'
    )


def test_of_many_changes_the_first_are_named() -> None:
    before = dict.fromkeys("abcde", 0)
    assert changes(before, dict.fromkeys("abcde", 1)) == (
        "a was 0 and is now 1, b was 0 and is now 1, c was 0 and is now 1 and 2 more"
    )


def test_long_values_are_cut() -> None:
    assert len(changes({"about": "x" * 500}, {"about": "y" * 500})) < 250
