"""Which step of a run is kept."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from descscore.errors import RecipeError
from descscore_training.choice import Evaluation, choose, read_log, transfer_score

# Zur et al. 2024, Table 1, as shares: no tuning and iit-das with LoRA.
TASKS = ("food101", "imagenet", "cifar100")
PAPER_BASE = (0.494, (0.764, 0.536, 0.615))
PAPER_TUNED = (0.866, (0.736, 0.451, 0.537))


def at(step: int, preference: float, *f1: float, relevance: float | None = None) -> Evaluation:
    return Evaluation(
        step=step,
        epoch=step / 100,
        preference=preference,
        relevance=relevance,
        f1=dict(zip(TASKS, f1, strict=False)),
    )


def paper() -> list[Evaluation]:
    return [at(0, PAPER_BASE[0], *PAPER_BASE[1]), at(800, PAPER_TUNED[0], *PAPER_TUNED[1])]


def test_the_papers_best_run_has_the_trade_off_worked_out_by_hand():
    # 73.6/76.4 = 0.963351, 45.1/53.6 = 0.841418, 53.7/61.5 = 0.873171; their mean is 0.892646.
    # 0.9 * 0.866 + 0.1 * 0.892646 = 0.868665.
    choice = choose(paper())
    assert choice.step == 800
    assert choice.by == "trade-off"
    assert choice.transfer == pytest.approx(0.892646, abs=1e-6)
    assert choice.trade_off == pytest.approx(0.868665, abs=1e-6)
    assert (choice.preference, choice.relevance, choice.below_floor) == (0.866, None, False)


def test_recovery_above_the_base_is_not_clamped():
    base, tuned = at(0, 0.5, 0.4, 0.8), at(10, 0.5, 0.6, 0.4)
    assert transfer_score(tuned, base) == pytest.approx((1.5 + 0.5) / 2)


@pytest.mark.parametrize(("alpha", "value"), [(0.9, 0.76), (1.0, 0.8), (0.0, 0.4), (0.25, 0.5)])
def test_alpha_weighs_preference_against_transfer(alpha: float, value: float):
    found = choose([at(0, 0.5, 1.0), at(1, 0.8, 0.4)], alpha=alpha)
    assert found.trade_off == pytest.approx(value)


@pytest.mark.parametrize(("alpha", "step"), [(0.9, 300), (0.5, 100)])
def test_alpha_decides_between_preference_and_transfer(alpha: float, step: int):
    # At 0.9: 0.68, 0.74, 0.79; at 0.5: 0.80, 0.70, 0.55.
    evaluations = [
        at(0, 0.5, 0.8),
        at(100, 0.65, 0.76),
        at(200, 0.75, 0.52),
        at(300, 0.85, 0.2),
    ]
    assert choose(evaluations, alpha=alpha).step == step


def test_of_equal_steps_the_earliest_is_chosen_whatever_the_order():
    evaluations = [at(300, 0.7, 0.5), at(100, 0.7, 0.5), at(0, 0.5, 0.5), at(200, 0.6, 0.5)]
    assert choose(evaluations).step == 100


def test_the_base_is_chosen_only_where_nothing_else_was_evaluated():
    base = at(0, 0.9, 0.8)
    assert choose([base, at(100, 0.1, 0.1)]).step == 100
    alone = choose([base])
    assert (alone.step, alone.trade_off) == (0, pytest.approx(0.9 * 0.9 + 0.1))


def test_without_transfer_tasks_the_preference_alone_decides_and_the_choice_says_so():
    choice = choose([at(0, 0.5), at(100, 0.8), at(200, 0.7)])
    assert (choice.step, choice.by, choice.trade_off) == (100, "preference", 0.8)
    assert choice.transfer is None


# The floor under relevance. The base has 0.54, so a drop of 0.1 allows 0.44, though in floating
# point 0.54 - 0.1 is more than 0.44.

LOSING = [
    at(0, 0.5, relevance=0.54),
    at(100, 0.7, relevance=0.49),
    at(200, 0.8, relevance=0.44),
    at(300, 0.9, relevance=0.4399),
]


@pytest.mark.parametrize(("drop", "step"), [(None, 300), (0.2, 300), (0.1, 200), (0.05, 100)])
def test_a_step_that_lost_more_relevance_than_allowed_is_left_out(drop: float | None, step: int):
    choice = choose(LOSING, relevance_drop=drop)
    assert (choice.step, choice.below_floor) == (step, False)


def test_where_all_lost_too_much_the_most_relevant_is_chosen_and_flagged():
    choice = choose(LOSING, relevance_drop=0.0)
    assert (choice.step, choice.relevance, choice.below_floor) == (100, 0.49, True)


def test_of_equally_relevant_steps_below_the_floor_the_better_trade_off_is_chosen():
    evaluations = [
        at(0, 0.5, relevance=0.9),
        at(100, 0.6, relevance=0.4),
        at(200, 0.8, relevance=0.4),
        at(300, 0.9, relevance=0.3),
    ]
    assert choose(evaluations, relevance_drop=0.1).step == 200


@pytest.mark.parametrize(
    ("evaluations", "options", "message"),
    [
        ([], {}, r"base model \(step 0\) was not evaluated, only steps \[\]"),
        ([at(100, 0.8)], {}, r"base model \(step 0\) was not evaluated, only steps \[100\]"),
        ([at(0, 0.5), at(9, 0.6), at(9, 0.7)], {}, r"steps \[9\] were evaluated twice"),
        (
            [at(0, 0.5, 0.0), at(9, 0.6, 0.1)],
            {},
            "base model's F1 of food101 is 0,.*remove the task",
        ),
        ([at(0, 0.5, 0.3), at(9, 0.6, 0.1, 0.2)], {}, "step 9 .* food101, imagenet, .* on food101"),
        ([at(0, 0.5), at(9, 0.6, 0.1)], {}, "the base model on nothing"),
        ([at(0, 0.5, relevance=0.6), at(9, 0.6)], {"relevance_drop": 0.1}, "measured at step 9"),
    ],
)
def test_what_cannot_be_chosen_from_is_named(
    evaluations: list[Evaluation], options: dict[str, float], message: str
):
    with pytest.raises(RecipeError, match=message):
        choose(evaluations, **options)


# The log.

RECORDS = [
    {"kind": "validation", "step": 0, "epoch": 0, "preference": 0.5, "f1": {"cifar10": 0.77}},
    {"kind": "train", "step": 10, "loss": 0.7},
    {
        "kind": "validation",
        "step": 20,
        "epoch": 0.8,
        "preference": 0.87,
        "relevance": 0.61,
        "f1": {"cifar10": 0.7},
        "ties": 2,
    },
]


def log(tmp_path: Path, *lines: object, end: str = "\n") -> Path:
    path = tmp_path / "metrics.jsonl"
    written = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(written) + end, encoding="utf-8")
    return path


def test_the_log_holds_the_evaluations_among_other_records(tmp_path: Path):
    base, tuned = read_log(log(tmp_path, *RECORDS))
    assert base == Evaluation(
        step=0, epoch=0.0, preference=0.5, relevance=None, f1={"cifar10": 0.77}
    )
    assert tuned == Evaluation(
        step=20, epoch=0.8, preference=0.87, relevance=0.61, f1={"cifar10": 0.7}
    )


def test_a_half_written_last_line_is_left_out(tmp_path: Path):
    path = log(tmp_path, *RECORDS, '{"kind": "validation", "step": 30, "pre', end="")
    assert [evaluation.step for evaluation in read_log(path)] == [0, 20]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"kind": "validation", "st', "not JSON"),
        ("", "not JSON"),
        ("[1, 2]", "not an object with a 'kind'"),
        ({"step": 3}, "not an object with a 'kind'"),
        (RECORDS[0] | {"step": 1.5}, "step is 1.5"),
        (RECORDS[0] | {"step": True}, "step is True"),
        (RECORDS[0] | {"preference": None}, "preference is None"),
        (RECORDS[0] | {"preference": math.nan}, "NaN"),
        (RECORDS[0] | {"preference": 86.6}, "preference is 86.6"),
        (RECORDS[0] | {"epoch": "1"}, "epoch is '1'"),
        (RECORDS[0] | {"f1": [0.5]}, r"f1 is \[0.5\]"),
        (RECORDS[0] | {"f1": {"food": "high"}}, "f1.food is 'high'"),
    ],
)
def test_a_malformed_line_is_named_with_its_file_and_number(
    tmp_path: Path, line: object, message: str
):
    path = log(tmp_path, RECORDS[1], line, RECORDS[2])
    with pytest.raises(RecipeError, match=rf"metrics\.jsonl, line 2: .*{message}"):
        read_log(path)


def test_a_missing_log_is_named(tmp_path: Path):
    with pytest.raises(RecipeError, match=r"there is no log .*metrics\.jsonl"):
        read_log(tmp_path / "metrics.jsonl")
