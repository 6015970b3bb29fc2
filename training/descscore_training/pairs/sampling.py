"""What a step is made of: a function of the seed and the step alone, so that runs can resume."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int, UInt8
    from torch import Tensor


def rows_at(step: int, rows: int, batch: int, seed: int) -> Int[np.ndarray, " batch"]:
    """The rows of a step's batch: a seeded permutation an epoch, batches running on across them."""
    positions = np.arange(step * batch, (step + 1) * batch)
    orders = {
        epoch: np.random.default_rng([seed, int(epoch)]).permutation(rows)
        for epoch in np.unique(positions // rows)
    }
    return np.array([orders[position // rows][position % rows] for position in positions])


def pairs_at(
    step: int, sizes: Sequence[int], batches: Sequence[int], seed: int
) -> list[tuple[int, int]]:
    """Source and row of each pair of a step's batch over several sources, in random order."""
    picked = [
        (source, int(row))
        for source, (size, batch) in enumerate(zip(sizes, batches, strict=True))
        for row in rows_at(step, size, batch, seed)
    ]
    order = np.random.default_rng([seed, step, 1]).permutation(len(picked))
    return [picked[place] for place in order]


def leave_out(tokens: Sequence[int], share: float, random: np.random.Generator) -> list[int]:
    """A text without a random share of its tokens, its start and end kept."""
    kept = random.random(len(tokens)) >= share
    kept[[0, -1]] = True
    return [token for token, keep in zip(tokens, kept, strict=True) if keep]


def augment(
    pixels: UInt8[np.ndarray, "image row column 3"], shift: int, generator: torch.Generator
) -> UInt8[Tensor, "image row column 3"]:
    """Move each image by up to `shift` pixels over its mirrored border, and mirror half of them."""
    images, height, width, _ = pixels.shape
    padded = np.pad(pixels, ((0, 0), (shift, shift), (shift, shift), (0, 0)), mode="reflect")
    moves = torch.randint(0, 2 * shift + 1, (images, 2), generator=generator).numpy()
    mirrored = torch.rand(images, generator=generator).numpy() < 0.5
    out = np.empty_like(pixels)
    for i, (down, right) in enumerate(moves):
        crop = padded[i, down : down + height, right : right + width]
        out[i] = crop[:, ::-1] if mirrored[i] else crop
    return torch.from_numpy(out)


def jitter_colours(
    images: Float[Tensor, "image 3 row column"], share: float, generator: torch.Generator
) -> Float[Tensor, "image 3 row column"]:
    """Change brightness, contrast and saturation of normalised images by up to a share of each."""
    brightness, contrast, saturation = (
        share * (2 * torch.rand(3, len(images), 1, 1, 1, generator=generator) - 1)
    ).to(images.device)
    grey = images.mean(1, keepdim=True)
    mean = grey.mean((2, 3), keepdim=True)
    coloured = grey + (1 + saturation) * (images - grey)
    return mean + (1 + contrast) * (coloured - mean) + brightness
