"""Training from Python; needs `pip install "descscore[train]"`."""

from __future__ import annotations

from descscore_training.config import find_recipe, load_recipe
from descscore_training.export import export_checkpoint
from descscore_training.finetune_recipe import FinetuneRecipe
from descscore_training.pretrain.pretrain import pretrain
from descscore_training.pretrain.recipe import PretrainRecipe
from descscore_training.study.prepare import prepare
from descscore_training.study.reproduce import reproduce
from descscore_training.study.study import Study
from descscore_training.sweep import sweep
from descscore_training.trainer import train

__all__ = [
    "FinetuneRecipe",
    "PretrainRecipe",
    "Study",
    "export_checkpoint",
    "find_recipe",
    "load_recipe",
    "prepare",
    "pretrain",
    "reproduce",
    "sweep",
    "train",
]
