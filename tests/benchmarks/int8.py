"""How well int8 agrees with float32 on Flickr8k-Expert: `python -m tests.benchmarks.int8 DATA`.

The same captions are scored in each dtype. Reported are tau-c with the experts' ratings, its
distance from float32's in points (hundredths), and how far the scores themselves are apart.

DATA is the folder with evaluation data, of which `flickr8k` is read.
"""

# ruff: noqa: T201 - its results go to stdout

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from descscore import DescriptionScore
from descscore.errors import DemonstrationWarning
from descscore.evaluate import read_benchmark


def main() -> None:
    """Measure and print a line of JSON for each checkpoint and dtype."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder with evaluation data")
    parser.add_argument("--checkpoints", nargs="+", default=["mini", "mini/base"])
    parser.add_argument("--dtypes", nargs="+", default=["bfloat16", "int8"])
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", DemonstrationWarning)
    read = read_benchmark("flickr8k-expert", arguments.data / "flickr8k")
    images, texts = [str(path) for path in read.images], list(read.texts)
    for checkpoint in arguments.checkpoints:
        exact: tuple[float, np.ndarray] | None = None
        for dtype in ("float32", *arguments.dtypes):
            metric = DescriptionScore(checkpoint, dtype=dtype, scale="cosine")
            cosines = metric(images, texts).scores
            measures = read.measure(read, cosines, 2, 0)
            tau = 100 * next(one.estimate.value for one in measures if one.name == "tau_c")
            exact = exact or (tau, cosines)
            found = {
                "checkpoint": checkpoint,
                "dtype": dtype,
                "ratings": len(texts),
                "tau_c": round(tau, 2),
                "from float32": round(tau - exact[0], 3),
                "largest difference of cosines": float(np.abs(cosines - exact[1]).max()),
                "deviation of cosines": float(exact[1].std()),
                "rank correlation with float32": float(spearmanr(cosines, exact[1])[0]),
            }
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
