"""The tree of errors that the docstring draws is the tree that there is."""

from __future__ import annotations

import inspect
import re

from descscore import DescscoreError, errors


def test_the_docstring_draws_every_error_with_its_builtin() -> None:
    classes = {
        name: found
        for name, found in vars(errors).items()
        if inspect.isclass(found) and issubclass(found, DescscoreError)
    }
    drawn = re.findall(r"^([\u2500-\u257f ]*)(\w+Error)(?: +\((\w+)\))?", errors.__doc__, re.M)
    assert sorted(name for _, name, _ in drawn) == sorted(classes)
    above: dict[int, str] = {}
    for branch, name, builtin in drawn:
        depth = len(branch) // 4
        above[depth] = name
        if depth:
            assert classes[name].__mro__[1].__name__ == above[depth - 1]
        if builtin:
            assert builtin in [base.__name__ for base in classes[name].__mro__]


def test_every_error_is_also_a_builtin_that_callers_know() -> None:
    for found in vars(errors).values():
        if inspect.isclass(found) and issubclass(found, DescscoreError):
            assert found is DescscoreError or issubclass(found, ValueError | OSError | ImportError)
