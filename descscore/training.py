"""Training, from Python; needs `pip install "descscore[train]"`."""

from __future__ import annotations

from descscore_training.config import find_recipe, load_recipe
from descscore_training.pretrain import pretrain
from descscore_training.pretrain_recipe import PretrainRecipe

__all__ = ["PretrainRecipe", "find_recipe", "load_recipe", "pretrain"]
