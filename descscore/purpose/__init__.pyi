from .das_file import load_purpose as load_purpose
from .das_file import save_purpose as save_purpose
from .probe import Purpose as Purpose
from .subspace import Site as Site
from .subspace import complement as complement
from .subspace import identity_basis as identity_basis
from .subspace import interchange as interchange
from .subspace import random_basis as random_basis
