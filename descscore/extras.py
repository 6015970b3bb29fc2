"""Optional dependencies."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from descscore.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def imports_of(extra: str) -> Iterator[None]:
    """Around imports of an extra's packages: if one is missing, say how to install it.

    Raises:
        MissingExtraError: a package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f'this needs {error.name}, which is not installed: pip install "descscore[{extra}]"'
        ) from error
