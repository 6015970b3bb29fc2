"""Check annotated shapes when a test runs the code.

Names in annotations are mostly imported for type checkers only, so jaxtyping's own import hook
would not find them. This one loads a module with those imports made real, and with the functions
and dataclasses that annotate shapes decorated as jaxtyping's hook decorates them. Annotations
without shapes are left to the type checker: the package itself refuses wrong types from outside,
and tests must see how.
"""

from __future__ import annotations

import ast
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType

PACKAGES = ("descscore.", "descscore_training.")


def install() -> None:
    """Check the packages' modules that are imported from now on.

    Raises:
        RuntimeError: a module was imported before and would stay unchecked.
    """
    early = [name for name in sys.modules if name.startswith(PACKAGES)]
    if early:
        raise RuntimeError(f"imported before the checks of shapes were installed: {early}")
    sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    def find_spec(self, fullname, path=None, target=None) -> ModuleSpec | None:
        if not fullname.startswith(PACKAGES):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType | None:
        path = self.get_filename(fullname)
        source = self.get_data(path)
        if b"jaxtyping" not in source:
            return super().get_code(fullname)
        # Compiled anew each time: what is cached is the module without checks.
        module = _Checked().visit(ast.parse(source, path))
        return compile(ast.fix_missing_locations(module), path, "exec")


class _Checked(ast.NodeTransformer):
    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return node.body
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        arguments = [
            part for part in ast.walk(node.args) if isinstance(part, ast.arg) and part.annotation
        ]
        for argument in arguments:
            if not _has_shape(argument.annotation):
                argument.annotation = None
        if not _has_shape(node.returns):
            node.returns = None
        if node.returns or any(argument.annotation for argument in arguments):
            # Innermost, next to the annotations: other decorators may drop them.
            node.decorator_list.append(_decorator(node))
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        fields = [part for part in node.body if isinstance(part, ast.AnnAssign)]
        if any(_has_shape(field.annotation) for field in fields):
            for field in fields:
                if not _has_shape(field.annotation):
                    field.annotation = ast.copy_location(ast.Name("object", ast.Load()), field)
            # Outermost: it checks the `__init__` that `dataclass` makes.
            node.decorator_list.insert(0, _decorator(node))
        return self.generic_visit(node)


def _has_shape(annotation: ast.expr | None) -> bool:
    """Whether an annotation contains the likes of `Float[Tensor, "row column"]`."""
    return annotation is not None and any(
        isinstance(part, ast.Subscript)
        and isinstance(part.slice, ast.Tuple)
        and ast.unparse(part.slice.elts[0]).endswith(("Tensor", "ndarray"))
        for part in ast.walk(annotation)
    )


def _decorator(node: ast.FunctionDef | ast.ClassDef) -> ast.expr:
    call = "__import__('jaxtyping').jaxtyped(typechecker=__import__('beartype').beartype)"
    decorator = ast.parse(call, mode="eval").body
    for part in ast.walk(decorator):
        if isinstance(part, ast.expr):
            ast.copy_location(part, node)
    return decorator
