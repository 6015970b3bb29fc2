"""A study's results as a page in HTML, the same in Markdown, and as JSON."""

from __future__ import annotations

from base64 import b64encode
from importlib import import_module
from typing import TYPE_CHECKING, Any

from descscore.extras import imports_of
from descscore.templates import templates
from descscore.writing import write_json, write_whole
from descscore_training.study.figures import draw_figures
from descscore_training.study.tables import gaps, layout

if TYPE_CHECKING:
    from pathlib import Path


def check_extra() -> None:
    """Miss what the report is made with now, not after hours of training.

    Raises:
        MissingExtraError: a package is not installed.
    """
    with imports_of("reproduce"):
        for package in ("jinja2", "matplotlib"):
            import_module(package)


def write_report(found: dict[str, Any], out: Path, command: str) -> Path:
    """Write `results.json`, `report.html`, `report.md` and the figures.

    Args:
        found: what `results` gathers.
        out: the study's folder.
        command: that makes all of it.

    Returns:
        The page in HTML.
    """
    figures = draw_figures(found, out / "figures")
    pictures = {
        figure.name: b64encode((out / "figures" / figure.name).read_bytes()).decode("ascii")
        for figure in figures
    }
    values = {
        "study": found["study"],
        "base": found["base"]["name"],
        "versions": found["versions"],
        "runs": found["runs"],
        "tables": layout(found),
        "figures": figures,
        "pictures": pictures,
        "gaps": gaps(found),
        "command": command,
    }
    write_json(out / "results.json", found)
    markdown = templates("descscore_training.study", autoescape=False)
    markdown.filters["cell"] = lambda text: str(text).replace("|", "\\|").replace("\n", " ")
    html = templates("descscore_training.study")
    for name, environment in (("report.md", markdown), ("report.html", html)):
        text = environment.get_template(f"{name}.jinja").render(values)
        write_whole(out / name, text)
    return out / "report.html"
