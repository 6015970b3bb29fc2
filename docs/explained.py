"""Makes the pictures of the page about explanations whenever the documentation is built.

MkDocs calls `on_files` and `on_page_markdown`. On the page, `<!-- explained: NAME -->` stands for a
picture, whose alternative text is made with it, and a link to the same explanation as a page.
"""

from __future__ import annotations

import re
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

    from descscore import Explanation

PHOTOS = Path(__file__).parents[1] / "examples" / "photos"

EXAMPLES = {
    "score": {
        "image": PHOTOS / "coffee.jpg",
        "text": "A small red cup of espresso on a red saucer with a spoon, on a table of wood.",
        "target": "score",
    },
    "purpose": {
        "image": PHOTOS / "coffee.jpg",
        "text": "Courtesy of Pikolo Espresso Bar.",
        "target": "purpose",
    },
}

_PLACE = re.compile(r"<!-- explained: (\w+) -->")


@cache
def explain(name: str) -> Explanation:
    """The explanation of an example, by the shipped checkpoint."""
    from descscore import DescriptionScore

    return DescriptionScore("mini", device="cpu").explain(**EXAMPLES[name])


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a picture and a page for each example."""
    for name in EXAMPLES:
        with tempfile.TemporaryDirectory() as folder:
            picture = Path(folder) / "picture.png"
            explain(name).to_png(picture)
            content = picture.read_bytes()
        files.append(File.generated(config, f"images/explained-{name}.png", content=content))
        page = explain(name).to_html()
        files.append(File.generated(config, f"explained/{name}.html", content=page))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put pictures in their places."""
    return _PLACE.sub(lambda found: _picture(found[1]), markdown)


def _picture(name: str) -> str:
    from descscore.explain.render.png import alternative_text

    alternative = re.sub(r"([\\\[\]*_`<>])", r"\\\1", alternative_text(explain(name)))
    return (
        f"![{alternative}](images/explained-{name}.png)\n\n"
        f"[The same as a page](explained/{name}.html), as `-o FILE.html` writes it."
    )
