"""Every published number against the tables of SPEC.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from descscore.evaluate import paper
from descscore.results import Estimate

OBJECTIVES = {"full": "full", "LoRA": "lora"}


@pytest.fixture(scope="module")
def tables(shared_data: Path) -> list[list[list[str]]]:
    """The rows of the tables of SPEC.md, section 7, without their headers."""
    path = shared_data.parent / "SPEC.md"
    if not path.is_file():
        pytest.skip(f"there is no {path}")
    section = path.read_text(encoding="utf-8").partition("## 7.")[2].replace("\u2212", "-")
    found = []
    for lines in re.findall(r"(?:^\|.*\n)+", section, flags=re.MULTILINE):
        rows = [
            [cell.strip() for cell in line.strip("|\n").split("|")] for line in lines.splitlines()
        ]
        found.append(rows[2:])
    return found


def printed(cell: str) -> tuple[float, float | None]:
    value, _, half = cell.partition(" \u00b1")
    return float(value), float(half) if half else None


def same(cells: list[str], found: list[Estimate | None]) -> None:
    assert len(cells) == len(found)
    for cell, estimate in zip(cells, found, strict=True):
        if not cell:
            assert estimate is None
            continue
        assert estimate is not None
        value, half = printed(cell)
        assert (estimate.value, estimate.half_width) == (value, pytest.approx(half))


def run(objective: str, tuning: str) -> str:
    return paper.NONE if objective == "none" else f"{objective}-{tuning.lower()}"


def test_table_1_is_the_papers(tables: list[list[list[str]]]):
    assert [run(*row[:2]) for row in tables[0]] == list(paper.TABLE_1)
    for objective, tuning, *cells in tables[0]:
        row = paper.TABLE_1[run(objective, tuning)]
        columns = ("preference", *paper.TRANSFER, "blv overall", "blv imaginability")
        same(cells, [row[column] for column in columns])


def test_table_2_is_the_papers(tables: list[list[list[str]]]):
    assert len(tables[1]) == sum(map(len, paper.TABLE_2.values()))
    for group, objective, tuning, *cells in tables[1]:
        row = paper.TABLE_2[group][run(objective, tuning)]
        same(cells, [row.get(question) for question in paper.QUESTIONS])


def test_table_3_is_the_papers(tables: list[list[list[str]]]):
    assert len(tables[2]) == sum(map(len, paper.TABLE_3.values()))
    for objective, mediation, *cells in tables[2]:
        parts = paper.TABLE_3[run(objective, "LoRA")]
        row = parts["total" if mediation == "none" else mediation]
        same(cells, [row[norm] for norm in paper.NORMS])


def test_benchmarks_are_clipscores(shared_data: Path):
    section = (shared_data.parent / "SPEC.md").read_text(encoding="utf-8")
    line = next(line for line in section.splitlines() if "Captioning benchmarks" in line)
    numbers = [
        float(number) for number in re.findall(r"[a-z] \(?(?:CLIPScore )?(\d\d\.\d)\)", line)
    ]
    found = [
        paper.published_benchmark("flickr8k-expert", "tau_c", "all", references=False)[0],
        paper.published_benchmark("flickr8k-cf", "tau_b", "all", references=False)[0],
        paper.published_benchmark("composite", "tau_c", "all", references=False)[0],
    ]
    assert found == pytest.approx([number / 100 for number in numbers])
    assert paper.published_benchmark("foil", "tau_b", "all", references=True) == (None, None)
