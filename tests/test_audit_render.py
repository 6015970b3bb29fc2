"""Pages as Chromium shows them, with names from its accessibility tree.

Run with `-m browser`; `tests/browsing.py` says what it needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from descscore.audit.findings import AuditResult
from descscore.audit.run import audit

pytestmark = pytest.mark.browser

PAGE = """\
<html lang=en><style>.gone { display: none } .sr { position: absolute; left: -9999px }</style>
<img src=a.png class=gone>
<img src=b.png class=sr>
<a href=/1 class=gone><img alt="" src=c.png></a>
<a href=/2><img alt="" src=c.png></a>
<button aria-label=Close><img src=x.png></button>
<img :alt="title" src=d.png>
<svg role=img><title>Chart of visitors</title></svg>
<div id=more></div>
<script>
document.getElementById("more").innerHTML = '<img src="s.png"><img src="t.png" alt="photo">'
document.querySelector("[src='d.png']").alt = "Dog on a beach"
</script>
"""


@pytest.fixture
def renderer() -> Iterator[object]:
    from descscore.audit.render import open_renderer

    with open_renderer() as renderer:
        yield renderer


def look(renderer: object, path: Path) -> AuditResult:
    return audit([path], renderer=renderer)


def test_styles_and_scripts_decide_and_lines_are_those_of_the_source(
    renderer: object, tmp_path: Path
) -> None:
    path = tmp_path / "page.html"
    path.write_text(PAGE)
    result = look(renderer, path)
    assert [page.error for page in result.pages] == [""]
    assert [
        (each.rule.id, each.severity, each.element.place.line, each.element.place.part)
        for each in result.findings
    ] == [
        ("image-alt", "violation", 3, ""),
        ("link-name", "violation", 5, ""),
        ("image-alt", "violation", None, "added by a script"),
        ("alt-vague", "review", None, "added by a script"),
    ]


def test_page_gets_nothing_from_the_network(renderer: object, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(
        "<img src='http://127.0.0.1:9/a.png' alt='Dog on a beach'>"
        "<script>fetch('http://127.0.0.1:9/').catch(() => document.body.append('refused'))</script>"
    )
    assert look(renderer, path).findings == []


def test_page_that_never_ends_is_one_error(tmp_path: Path) -> None:
    from descscore.audit.render import open_renderer

    path = tmp_path / "page.html"
    path.write_text("<img><script>while (true) {}</script>")
    with open_renderer(seconds=2) as renderer:
        (page,) = look(renderer, path).pages
    assert "cannot be shown in the browser" in page.error


def test_what_no_browser_shows_is_read_from_its_source(renderer: object, tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("![photo](a.png)")
    assert [each.rule.id for each in look(renderer, path).findings] == ["alt-vague"]
