"""Evaluations of metrics, as frozen records; needs the extra `evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from descscore.lazy import lazy_names

if TYPE_CHECKING:
    from descscore.evaluate.benchmarks.measures import BenchmarkResult, Measure
    from descscore.evaluate.benchmarks.run import read_benchmark, run_benchmark
    from descscore.evaluate.calibrate import (
        Calibration,
        Weighted,
        calibrate_purpose,
        draw_calibration,
    )
    from descscore.evaluate.class_names import ClassNames, read_class_names, read_templates
    from descscore.evaluate.classification import ClassResult, Confusion, Transfer
    from descscore.evaluate.compare import Change, Comparison, compare_scores
    from descscore.evaluate.correlations import correlation, partial_correlation
    from descscore.evaluate.human import (
        HumanRatings,
        Predictor,
        Question,
        human_ratings,
        score_items,
    )
    from descscore.evaluate.norms import Norms, correlate_norms, sample_texts
    from descscore.evaluate.preference import (
        PreferenceReport,
        evaluate_preference,
        preference_share,
        relevance_share,
    )
    from descscore.evaluate.resamples import bootstrap, estimate_mean
    from descscore.evaluate.scored_pairs import ScoredPairs, pair_scores
    from descscore.evaluate.statistics import paired_permutation, seed_interval, wilson
    from descscore.evaluate.transfer import PROMPT, TransferReport, classify, evaluate_transfer
    from descscore.evaluate.two_metrics import score_twice
    from descscore.results import Estimate

_NAMES = {
    "benchmarks.measures": ("BenchmarkResult", "Measure"),
    "benchmarks.run": ("read_benchmark", "run_benchmark"),
    "calibrate": ("Calibration", "Weighted", "calibrate_purpose", "draw_calibration"),
    "class_names": ("ClassNames", "read_class_names", "read_templates"),
    "classification": ("ClassResult", "Confusion", "Transfer"),
    "compare": ("Change", "Comparison", "compare_scores"),
    "correlations": ("correlation", "partial_correlation"),
    "human": ("HumanRatings", "Predictor", "Question", "human_ratings", "score_items"),
    "norms": ("Norms", "correlate_norms", "sample_texts"),
    "preference": (
        "PreferenceReport",
        "evaluate_preference",
        "preference_share",
        "relevance_share",
    ),
    "resamples": ("Estimate", "bootstrap", "estimate_mean"),
    "scored_pairs": ("ScoredPairs", "pair_scores"),
    "statistics": ("paired_permutation", "seed_interval", "wilson"),
    "transfer": ("PROMPT", "TransferReport", "classify", "evaluate_transfer"),
    "two_metrics": ("score_twice",),
}

__all__ = [
    "PROMPT",
    "BenchmarkResult",
    "Calibration",
    "Change",
    "ClassNames",
    "ClassResult",
    "Comparison",
    "Confusion",
    "Estimate",
    "HumanRatings",
    "Measure",
    "Norms",
    "Predictor",
    "PreferenceReport",
    "Question",
    "ScoredPairs",
    "Transfer",
    "TransferReport",
    "Weighted",
    "bootstrap",
    "calibrate_purpose",
    "classify",
    "compare_scores",
    "correlate_norms",
    "correlation",
    "draw_calibration",
    "estimate_mean",
    "evaluate_preference",
    "evaluate_transfer",
    "human_ratings",
    "pair_scores",
    "paired_permutation",
    "partial_correlation",
    "preference_share",
    "read_benchmark",
    "read_class_names",
    "read_templates",
    "relevance_share",
    "run_benchmark",
    "sample_texts",
    "score_items",
    "score_twice",
    "seed_interval",
    "wilson",
]

__getattr__, __dir__ = lazy_names(__name__, _NAMES)
