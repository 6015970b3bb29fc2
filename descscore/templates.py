"""Jinja's templates in the folder `templates` of a package."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


def templates(package: str, *, autoescape: bool = True) -> Environment:
    """The templates of a package; a name that they lack is an error.

    Args:
        package: as it is imported.
        autoescape: whether values are escaped as HTML.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader(package),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
