"""The checks of shapes are on while tests run."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from descscore.results import Scores
from descscore.score import cosines


def test_a_wrong_width_is_noticed() -> None:
    row = torch.zeros(1, dtype=torch.int64)
    with pytest.raises(TypeCheckError, match="right"):
        cosines(torch.zeros(2, 4), torch.zeros(2, 5), row, row)


def test_a_wrong_type_in_a_dataclass_is_noticed() -> None:
    integers = np.zeros(1, np.int64)
    with pytest.raises(TypeCheckError, match="scores"):
        Scores(
            scores=integers,
            truncated=np.zeros(1, bool),
            n_tokens=integers,
            image_index=integers,
            text_index=integers,
            errors=(None,),
            signature="",
        )
