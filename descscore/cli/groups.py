"""Groups of options that several commands take."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from descscore.cli import options
from descscore.cli.parameters import option
from descscore.errors import OptionError

if TYPE_CHECKING:
    from descscore.datasets.described_images import DescribedImages
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

    checkpoint: str | None = options.CHECKPOINT
    revision: str | None = options.REVISION
    local_files_only: bool = options.LOCAL_FILES_ONLY
    token: str | None = options.TOKEN
    cache: Path | None = options.CACHE
    cache_size: str = options.CACHE_SIZE

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


@dataclass(frozen=True, kw_only=True)
class Evaluated(Source):
    """A checkpoint that is evaluated, and how it computes.

    Attributes:
        device: where it computes.
        dtype: what it computes in.
        batch_size: images encoded together.
    """

    device: str = options.DEVICE
    dtype: Literal["float32", "bfloat16", "float16", "int8", "auto"] = options.DTYPE
    batch_size: int = options.BATCH_SIZE

    def metric(
        self, *, quiet: bool = False, clipscore_compatible: bool = False, **how: Any
    ) -> DescriptionScore:
        """The metric, with a bar in a terminal; `how` are its other options."""
        from descscore.metric_options import CLIPSCORE_PREFIX

        return self.load(
            device=self.device,
            dtype=self.dtype,
            batch_size=self.batch_size,
            prefix=CLIPSCORE_PREFIX if clipscore_compatible else "",
            progress=not quiet and sys.stderr.isatty(),
            **how,
        )


@dataclass(frozen=True, kw_only=True)
class PairsTable:
    """Where a table has images and texts.

    Attributes:
        images: the folder that image paths are relative to.
        image_column: the column of images.
        text_column: the column of texts.
        image_pattern: what makes names of image files from other columns.
    """

    images: Path | None = options.IMAGES
    image_column: str | None = option(
        None, "NAME", "Column of images: image by default, image_id in .json.", "Input"
    )
    text_column: str | None = option(
        None, "NAME", "Column of texts: text by default, caption in .json.", "Input"
    )
    image_pattern: str | None = option(
        None,
        "PATTERN",
        "File names made from columns, as in 'COCO_val2014_{image_id:012d}.jpg'.",
        "Input",
    )

    def __post_init__(self) -> None:
        if self.image_pattern is not None and self.image_column is not None:
            raise OptionError("--image-pattern names its own columns; omit --image-column")


@dataclass(frozen=True, kw_only=True)
class DescribedTable:
    """Where a table has images, descriptions and captions.

    Attributes:
        split: the part that is taken.
        images: the folder that image paths are relative to.
        image_column: the column of images.
        description_column: the column with descriptions.
        caption_column: the column with captions.
    """

    split: str | None = option(
        None, "NAME", "Concadia's split, or a value of the column split; all by default.", "Input"
    )
    images: Path | None = options.IMAGES
    image_column: str = option("image", "NAME", "Column of images.", "Input")
    description_column: str = option("description", "NAME", "Column of descriptions.", "Input")
    caption_column: str = option("caption", "NAME", "Column of captions.", "Input")

    def read(self, path: Path) -> DescribedImages:
        """The images and texts of a table, or of Concadia's folder."""
        from descscore.datasets.described_images import read_described_images

        return read_described_images(path, **vars(self))


def bytes_in(size: str) -> int:
    """Bytes in a size such as "500MB" or "20 GB".

    Raises:
        OptionError: it is not a size.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMGT]?)B?", size.strip(), re.IGNORECASE)
    if found is None:
        raise OptionError(f"--cache-size is {size!r}; give a size such as 500MB or 20GB")
    return int(float(found[1]) * 1000 ** " kmgt".index(found[2].lower() or " "))


def with_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of the groups that it takes as parameters.

    A group is one of the dataclasses here. Typer makes an option of each parameter, and knows no
    groups of them.
    """
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, type[Any]] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        group = parameter.annotation
        if isinstance(group, type) and is_dataclass(group):
            groups[parameter.name] = group
            hints = get_type_hints(group)
            parameters += [
                parameter.replace(
                    name=field.name, default=field.default, annotation=hints[field.name]
                )
                for field in fields(group)
            ]
        else:
            parameters.append(parameter)

    @wraps(command)
    def run(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        command(**given)

    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__signature__ = signature.replace(parameters=parameters)  # pyright: ignore[reportAttributeAccessIssue]
    return run
