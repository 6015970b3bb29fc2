"""One value a row each: what every statistic asks of its values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from descscore.errors import PairingError

if TYPE_CHECKING:
    from jaxtyping import Shaped


def check_rows(*samples: Shaped[np.ndarray, "..."]) -> int:
    """The number of rows that the samples share.

    Raises:
        PairingError: there are none, unequal numbers, or a value is not finite.
    """
    lengths = [len(sample) for sample in samples]
    if any(sample.ndim != 1 for sample in samples) or not lengths or len(set(lengths)) > 1:
        raise PairingError(
            f"values of shapes {', '.join(str(sample.shape) for sample in samples)} do not go "
            "together; give one of each for every item"
        )
    if not lengths[0]:
        raise PairingError("there are no values; give one or more")
    for sample in samples:
        if sample.dtype.kind == "f" and not np.isfinite(sample).all():
            row = int(np.flatnonzero(~np.isfinite(sample))[0])
            raise PairingError(
                f"value {row} is {sample[row]} ({int((~np.isfinite(sample)).sum())} are not "
                "finite); leave out what failed"
            )
    return lengths[0]
