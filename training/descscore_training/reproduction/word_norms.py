"""Do attributions go with how concrete and imageable words are?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from descscore.metric import DescriptionScore
    from descscore_training.reproduction.study import ConcadiaPart, NormsPart


def measure_norms(
    metric: DescriptionScore, part: NormsPart, concadia: ConcadiaPart, data: Path
) -> dict[str, Any]:
    """Correlate."""
    raise NotImplementedError
