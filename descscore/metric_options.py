"""The options of a metric, and what they may be."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Literal, get_args

from descscore.errors import OptionError
from descscore.inputs.items import text_problem
from descscore.inputs.texts import LONG_TEXT
from descscore.option_checks import check_choice, check_count
from descscore.purpose.probe import READOUTS
from descscore.score import SCALES
from descscore.strings import is_blank, quoted

OnError = Literal["raise", "record"]

CLIPSCORE_PREFIX = "A photo depicts "
"""The prefix of the published CLIPScores (Hessel et al. 2021)."""


_CHOICES = {"scale": SCALES, "long_text": LONG_TEXT, "on_error": get_args(OnError)}

LARGEST_BATCH = 10**6
"""Images in a batch: far more than fit into any memory."""


def check_metric_options(options: Mapping[str, object]) -> None:
    """Refuse options of `DescriptionScore`, given by name, outside their allowed values.

    Raises:
        OptionError: one is.
    """
    for name, allowed in _CHOICES.items():
        check_choice(name, options[name], allowed)
    readouts, batch_size, num_workers, prefix, clean, purpose_weight = (
        options[name]
        for name in ("readouts", "batch_size", "num_workers", "prefix", "clean", "purpose_weight")
    )
    if isinstance(readouts, str) or not isinstance(readouts, Collection):
        raise OptionError(f"readouts is {readouts!r}; give a list, such as ['purpose']")
    for readout in readouts:
        check_choice("readouts", readout, READOUTS)
    check_count("batch_size", batch_size)
    if isinstance(batch_size, int) and batch_size > LARGEST_BATCH:
        raise OptionError(f"batch_size is above {LARGEST_BATCH:,}; give a smaller number")
    if num_workers is not None and (not isinstance(num_workers, int) or num_workers < 0):
        raise OptionError(
            f"num_workers is {num_workers!r}; give a whole number of at least 0, or None"
        )
    if not isinstance(prefix, str):
        raise OptionError(f"prefix is {quoted(prefix)}; give a string")
    if prefix and is_blank(prefix):
        raise OptionError(f"prefix is {quoted(prefix)}, which has no visible characters; omit it")
    if prefix and (problem := text_problem(prefix)):
        raise OptionError(f"prefix {problem}")
    if clean is not None and not isinstance(clean, bool):
        raise OptionError(f"clean is {quoted(clean)}; give True, False or None")
    if purpose_weight is not None and not _is_finite(purpose_weight):
        raise OptionError(f"purpose_weight is {purpose_weight!r}; give a finite number, or None")


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
