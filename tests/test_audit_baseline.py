"""Known findings: fingerprints that survive edits, entries that never stand for others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from descscore.audit.baseline import apply_baseline, read_baseline, write_baseline
from descscore.audit.findings import AuditResult
from descscore.audit.run import audit
from descscore.audit.settings import Settings
from descscore.errors import OptionError
from tests.audit_made import png


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "red.png").write_bytes(png("red"))
    (tmp_path / "blue.png").write_bytes(png("blue"))
    return tmp_path


def check(folder: Path, html: str, name: str = "page.html") -> AuditResult:
    (folder / name).write_text(html)
    return audit([folder], Settings(base=folder))


def fingerprints(folder: Path, html: str) -> list[str]:
    return [each.fingerprint for each in check(folder, html).findings]


def test_fingerprint_survives_other_lines_attributes_and_file_names(folder: Path) -> None:
    before = fingerprints(folder, "<img src=red.png alt='Photo'>")
    (folder / "moved").mkdir()
    (folder / "red.png").rename(folder / "moved" / "other.png")
    html = "<p>New</p>\n\n<img class=a alt='photo!' src=moved/other.png>"
    assert fingerprints(folder, html) == before


@pytest.mark.parametrize(
    "html",
    [
        "<img src=blue.png alt=Photo>",
        "<img src=red.png alt=Image>",
        "<img src=red.png>",
    ],
)
def test_fingerprint_differs_for_another_image_name_or_rule(folder: Path, html: str) -> None:
    before = fingerprints(folder, "<img src=red.png alt=Photo>")
    assert fingerprints(folder, html) != before


def test_page_is_relative_to_the_project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprints(folder, "<img src=red.png>")
    monkeypatch.chdir(folder)
    settings = Settings(base=folder)
    again = [each.fingerprint for each in audit([Path("page.html")], settings).findings]
    assert again == before


def test_known_findings_are_taken_out_and_new_ones_stay(folder: Path) -> None:
    path = folder / "baseline.json"
    assert write_baseline(path, check(folder, "<img src=red.png>"), folder) == 1
    result = check(folder, "<img src=blue.png><img src=red.png><img src=red.png>")
    apply_baseline(result, read_baseline(path), folder)
    # One of two equal ones is known: an entry is no count, and the second has another ordinal.
    assert [each.element.src for each in result.findings] == ["blue.png", "red.png"]
    assert (result.known, result.stale) == (1, [])


def test_solved_finding_is_stale_and_gives_no_room_to_another(folder: Path) -> None:
    path = folder / "baseline.json"
    write_baseline(path, check(folder, "<img src=red.png>"), folder)
    result = check(folder, "<img src=blue.png>")
    apply_baseline(result, read_baseline(path), folder)
    assert len(result.findings) == 1
    assert result.stale == [entry.fingerprint for entry in read_baseline(path)]
    assert write_baseline(path, check(folder, "<img src=blue.png>"), folder) == 1


def test_entries_of_pages_that_were_not_audited_are_neither_stale_nor_forgotten(
    folder: Path,
) -> None:
    path = folder / "baseline.json"
    check(folder, "<img src=red.png>", "other.html")
    write_baseline(path, check(folder, "<img src=red.png>"), folder)
    settings = Settings(base=folder)
    part = audit([folder / "page.html"], settings)
    assert write_baseline(path, part, folder) == 2
    apply_baseline(part, read_baseline(path), folder)
    assert (part.known, part.stale) == (1, [])
    (folder / "other.html").unlink()
    part = audit([folder / "page.html"], settings)
    apply_baseline(part, read_baseline(path), folder)
    assert len(part.stale) == 1
    assert write_baseline(path, audit([folder], settings), folder) == 1


def test_baseline_is_sorted_text_for_people_and_for_version_control(folder: Path) -> None:
    path = folder / "baseline.json"
    write_baseline(path, check(folder, "<img src=red.png><img src=blue.png alt=Foto>"), folder)
    content = json.loads(path.read_text())
    assert content["version"] == 1
    assert [(each["page"], each["rule"], each["name"]) for each in content["findings"]] == [
        ("page.html", "alt-vague", "Foto"),
        ("page.html", "image-alt", ""),
    ]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1, "findings": [{"a": 1}]}'])
def test_file_that_is_no_baseline_is_refused(folder: Path, text: str) -> None:
    path = folder / "baseline.json"
    path.write_text(text)
    with pytest.raises(OptionError, match="is not a baseline"):
        read_baseline(path)


def test_baseline_of_another_version_is_refused(folder: Path) -> None:
    path = folder / "baseline.json"
    path.write_text('{"version": 2, "findings": []}')
    with pytest.raises(OptionError, match="version 2"):
        read_baseline(path)
