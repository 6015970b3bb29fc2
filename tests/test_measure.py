"""What a checkpoint is measured to do."""

from __future__ import annotations

import numpy as np
import pytest

from descscore_training.measure import own_above_others


def test_own_texts_are_compared_with_those_of_other_images_alone():
    # The first image's texts (0.9, 0.2) are above 2 and 1 of (0.5, 0.1); the second's (0.4, 0.3)
    # above none and none of (0.6, 0.4), where a tie counts for nothing.
    similarity = np.array([[0.9, 0.2, 0.5, 0.1], [0.6, 0.4, 0.4, 0.3]])
    own = np.array([0, 0, 1, 1])
    assert own_above_others(similarity, own) == pytest.approx((3 / 4 + 0) / 2)
