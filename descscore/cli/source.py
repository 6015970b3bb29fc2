"""The options that say which checkpoint a command takes, and from where."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from typing import TYPE_CHECKING, Any, get_type_hints

from descscore.cli import options
from descscore.errors import OptionError

if TYPE_CHECKING:
    from descscore.metric import DescriptionScore


@dataclass(frozen=True, kw_only=True)
class Source:
    """A checkpoint as the options name it.

    Attributes:
        checkpoint: its name; the metric's default without one.
        revision: on the Hub.
        local_files_only: take it from the Hub's cache only.
        token: for the Hub.
        cache: the folder in which embeddings are kept.
        cache_size: what it may take on disk, in bytes.
    """

    checkpoint: options.Checkpoint = None
    revision: options.Revision = None
    local_files_only: options.LocalFilesOnly = False
    token: options.Token = None
    cache: options.Cache = None
    cache_size: options.CacheSize = "10GB"

    def load(self, **how: Any) -> DescriptionScore:
        """The metric with this checkpoint; `how` are its other options."""
        from descscore.metric import DescriptionScore
        from descscore.towers.cache import EmbeddingCache

        if self.cache is not None:
            how["cache"] = EmbeddingCache(self.cache, max_bytes=bytes_in(self.cache_size))
        return DescriptionScore(
            # An environment variable that is set to nothing names nothing.
            self.checkpoint or None,
            revision=self.revision,
            local_files_only=self.local_files_only,
            token=self.token or None,
            **how,
        )


def bytes_in(size: str) -> int:
    """Bytes in a size such as "500MB" or "20 GB".

    Raises:
        OptionError: it is not a size.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMGT]?)B?", size.strip(), re.IGNORECASE)
    if found is None:
        raise OptionError(f"--cache-size is {size!r}; give a size such as 500MB or 20GB")
    return int(float(found[1]) * 1000 ** " kmgt".index(found[2].lower() or " "))


def with_source(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a `Source` where it has the parameter `source`.

    Typer makes an option of each parameter, and knows no groups of them.
    """
    hints = get_type_hints(Source, include_extras=True)
    names = [field.name for field in fields(Source)]
    of_source = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=hints[field.name],
        )
        for field in fields(Source)
    ]
    signature = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        parameters += of_source if parameter.name == "source" else [parameter]

    @wraps(command)
    def run(**given: Any) -> None:
        command(source=Source(**{name: given.pop(name) for name in names}), **given)

    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__signature__ = signature.replace(parameters=parameters)  # pyright: ignore[reportAttributeAccessIssue]
    return run
