"""Commands that take long enough to be stopped, with inputs made for them.

Each writes below the folder that it runs in, and is given again as it is to resume.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROWS = 5000


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command of `descscore`.

    Attributes:
        args: in which `IN` stands for the folder with inputs.
        resumes: whether it says, once stopped, how to resume.
    """

    args: str
    resumes: bool = True

    def run(self, inputs: Path) -> None:
        """Run it in this process, as the script does."""
        words = self.args.replace("IN", str(inputs)).split()
        if words[0] == "prepare":
            _prepare_made()
        from descscore.cli.app import main

        sys.argv = ["descscore", *words]
        main()


_CLIP = "--checkpoint IN/clip"
_DATA = "--data IN/data"

COMMANDS = {
    "score": Command(args=f"score IN/pairs.csv -o out.csv --resume {_CLIP}"),
    "shards": Command(args=f"score IN/pairs.csv -o out --shards --shard-rows 1024 {_CLIP}"),
    "explain": Command(args=f"explain --pairs IN/few.csv -o out --n-steps 4 --resume {_CLIP}"),
    "audit": Command(args=f"audit IN/pages -o out.json --format json {_CLIP}", resumes=False),
    "evaluate": Command(args=f"evaluate transfer IN/data/classes --json {_CLIP}", resumes=False),
    "train": Command(args=f"train IN/data/long.toml {_DATA} -o out"),
    "sweep": Command(args=f"sweep IN/data/sweep.toml {_DATA} -o out"),
    "reproduce": Command(args=f"reproduce IN/data/study.toml {_DATA} -o out --device cpu"),
    "side-by-side": Command(
        args=f"reproduce IN/data/study.toml {_DATA} -o out --device cpu --jobs 2"
    ),
    "prepare": Command(args="prepare IN/downloads --data out"),
}


def make_inputs(folder: Path) -> None:
    """Write the inputs of all commands."""
    from tests.downloads_made import made_downloads
    from tests.small_clip import save_tiny_clip
    from tests.study_made import RECIPE, made_study

    (folder / "clip").mkdir(parents=True)
    save_tiny_clip(folder / "clip")
    made_study(folder / "data", folder / "clip")
    recipe = RECIPE.replace('"elsewhere"', json.dumps(str(folder / "clip")))
    (folder / "data" / "long.toml").write_text(recipe.replace("epochs = 1", "epochs = 8"))
    (folder / "data" / "base.toml").write_text(recipe.replace("epochs = 1", "epochs = 4"))
    (folder / "data" / "sweep.toml").write_text(
        'base = "base.toml"\nsampler = "grid"\n[space]\noptimiser.lr = [1e-3, 5e-3, 1e-2]\n'
    )
    images = sorted((folder / "data" / "images").glob("*.png"))
    rows = [f"{images[i % 24]},Item {i} of a table" for i in range(ROWS)]
    (folder / "pairs.csv").write_text("\n".join(["image,text", *rows]) + "\n")
    (folder / "few.csv").write_text("\n".join(["image,text", *rows[:40]]) + "\n")
    (folder / "pages").mkdir()
    for i in range(40):
        tags = "".join(f'<p>Item {i}<img src="{image}" alt="Item {i}">' for image in images)
        (folder / "pages" / f"{i}.html").write_text(f"<html lang=en><title>{i}</title>{tags}")
    made_downloads(folder / "downloads")


def _prepare_made() -> None:
    """Have `prepare` take the downloads that are made here."""
    from datasets import config

    from descscore_training.study import prepare as module
    from tests.downloads_made import KINDS

    config.HF_DATASETS_CACHE = Path.cwd().parent / "cache"
    module.prepare = partial(module.prepare, kinds=KINDS)


def modules() -> tuple[str, ...]:
    """What the commands import."""
    return (
        "descscore.tables.explaining",
        "descscore.tables.shards",
        "descscore.audit.run",
        "descscore.evaluate.transfer",
        "descscore_training.trainer",
        "descscore_training.sweep",
        "descscore_training.study.reproduce",
        "descscore_training.study.prepare",
        "datasets",
        "tests.downloads_made",
    )
