"""Points and weights that turn an integral from 0 to 1 into a weighted sum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

Method = Literal[
    "gausslegendre", "riemann_left", "riemann_right", "riemann_middle", "riemann_trapezoid"
]
METHODS: tuple[str, ...] = get_args(Method)
"""Named as in captum."""


def quadrature(
    method: Method, n_steps: int
) -> tuple[Float[np.ndarray, " step"], Float[np.ndarray, " step"]]:
    """Positions in [0, 1] and weights, which sum to 1, in float64.

    Those of captum, but for "riemann_trapezoid": captum's weights there sum to 1 - 1/n_steps, so
    that even a constant would be integrated too low.

    Args:
        method: one of `METHODS`. Gauss-Legendre is exact for polynomials of degree 2 n_steps - 1.
        n_steps: number of points; "riemann_trapezoid" needs two.
    """
    if method == "gausslegendre":
        points, weights = np.polynomial.legendre.leggauss(n_steps)
        return (1 + points) / 2, weights / 2
    if method == "riemann_trapezoid":
        weights = np.full(n_steps, 1 / (n_steps - 1))
        weights[[0, -1]] /= 2
        return np.linspace(0, 1, n_steps), weights
    first = {"riemann_left": 0, "riemann_right": 1, "riemann_middle": 0.5}[method]
    return (np.arange(n_steps) + first) / n_steps, np.full(n_steps, 1 / n_steps)
