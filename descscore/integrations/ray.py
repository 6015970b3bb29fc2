"""Scoring on Ray: shards of tables with an actor pool, and batches of your own pipeline."""

# Ray may be absent, and where it is installed its annotations are narrower than its documentation.
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportArgumentType=false

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from descscore.errors import DescscoreError
from descscore.extras import imports_of
from descscore.metric import DescriptionScore
from descscore.tables.parts import Parts, Plan
from descscore.tables.shards import shard_worker
from descscore.writing import as_path

with imports_of("ray"):
    import ray
    import ray.data

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class ScoreBatches:
    """Scores batches in `ray.data.Dataset.map_batches`, with one model per actor.

    Adds the columns `score` (NaN where a pair failed), `truncated`, `error`, and `purpose` if
    the checkpoint reads it.

    Args:
        image_column: the column of images: paths, bytes of files, or arrays (H, W, 3).
        text_column: the column of texts.
        options: options of `DescriptionScore`, such as `checkpoint`.
    """

    def __init__(
        self, *, image_column: str = "image", text_column: str = "text", **options: Any
    ) -> None:
        self.image_column, self.text_column = image_column, text_column
        given: dict[str, Any] = {"on_error": "record"} | options
        self.metric = DescriptionScore(**given)

    def __call__(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The batch with the added columns."""
        texts = [str(text) for text in batch[self.text_column]]
        scores = self.metric(list(batch[self.image_column]), texts)
        added: dict[str, Any] = {
            "score": scores.scores,
            "purpose": scores.purpose,
            "truncated": scores.truncated,
            "error": np.array(
                [None if error is None else error.unplaced for error in scores.errors], object
            ),
        }
        return {**batch, **{name: column for name, column in added.items() if column is not None}}


@dataclass(frozen=True, kw_only=True)
class RayCluster:
    """An engine of `run_shards`: a pool of actors scores the shards that have no part yet.

    A shard whose actor dies is given to another one. Rows are scored exactly once because a shard
    counts by its part alone, not because of anything that Ray keeps.

    Attributes:
        workers: how many actors score shards.
        address: of a running cluster; Ray starts in this machine without one.
    """

    workers: int = 2
    address: str | None = None

    def __call__(
        self,
        load_metric: Callable[[], DescriptionScore],
        parts: Parts,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Score the missing shards.

        Args:
            load_metric: called once in each actor.
            parts: in a folder that all machines can reach.
            progress: called after each shard with the rows done and their total.

        Raises:
            DescscoreError: what stopped a worker.
        """
        missing = parts.missing()
        total = parts.plan.rows
        done = total - sum(shard.rows for shard in missing)
        if progress is not None:
            progress(done, total)
        if not missing:
            return
        if not ray.is_initialized():
            ray.init(
                address=self.address,
                include_dashboard=False if self.address is None else None,
                log_to_driver=False,
                logging_level="error",
            )
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        workers = min(self.workers, len(missing))
        resources = ray.cluster_resources()
        # A pool that takes every core leaves none for what feeds it.
        cores = min(1.0, (resources.get("CPU", 1.0) - 0.5) / workers)
        each = {"num_gpus": 1} if resources.get("GPU", 0) >= workers else {"num_cpus": cores}
        listed = ray.data.from_items(
            [{"shard": shard.number} for shard in missing], override_num_blocks=len(missing)
        )
        scored = listed.map(
            _ScoreShard,
            fn_constructor_args=(load_metric, str(parts.folder)),
            compute=ray.data.ActorPoolStrategy(size=workers),
            **each,
        )
        try:
            for row in scored.iter_rows():
                done += row["rows"]
                if progress is not None:
                    progress(done, total)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, DescscoreError):
                raise error.cause from None
            raise


class _ScoreShard:
    """An actor: one model that scores one shard after another."""

    def __init__(self, load_metric: Callable[[], DescriptionScore], folder: str) -> None:
        place = as_path(folder)
        plan = Plan.read(place)
        if plan is None:
            raise DescscoreError(
                f"{folder} has no plan on this machine; name a folder that all machines share"
            )
        self.parts = Parts(place, plan)
        self.worker = shard_worker(load_metric(), self.parts)

    def __call__(self, row: Mapping[str, int]) -> dict[str, int]:
        shard = self.parts.plan.shards[row["shard"]]
        self.parts.fill(self.worker, shards=[shard])
        return {"shard": shard.number, "rows": shard.rows}
