"""Digests of code: what was computed by other code is computed again.

A digest hangs on what is read, not on where it stands or how it is worded: comments, layout and
docstrings are apart, and files and packages are followed by what they name, so that a module that
becomes a package stays in.
"""

import ast
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.util import find_spec, resolve_name
from inspect import getsource, unwrap
from textwrap import dedent
from threading import Lock
from typing import Any

BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
"""Where a piece of code holds statements."""
LENGTH = 16
"""Hexadecimal digits of a digest that is stored."""
_PARSING = Lock()
"""Python 3.11 counts the depth of a tree once for all threads: two that make trees at once meet a
SystemError, as soon as one of them has to give way in the midst."""


def of_text(*texts: str) -> str:
    """A digest of texts, each apart from the next."""
    return sha256("\0".join(texts).encode()).hexdigest()[:LENGTH]


def of_code(*roots: Any, room: str) -> str:
    """A digest of classes and functions of a room and of all that they name there, at any depth.

    Names of other rooms count as names.
    """
    return of_text(*sorted(_texts(roots, room)))


# ----------------------------------------------------------------------- what a piece of code names
def _texts(roots: tuple[Any, ...], room: str) -> Iterator[str]:
    seen: set[tuple[str, str]] = set()
    todo: list[tuple[str, str]] = []
    for root in map(unwrap, roots):
        if _within(root.__module__, room):
            todo.append((root.__module__, root.__qualname__))
        else:  # a test's own
            with _PARSING:  # to find a class it parses, too
                source = dedent(getsource(root))
            yield ast.unparse(_unsaid(_parsed(source)))
    while todo:
        place = todo.pop()
        if place in seen:
            continue
        seen.add(place)
        text, places = _read(*place, room)
        if text:
            yield text
        todo += places


@cache
def _read(module: str, name: str, room: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """What gives a name its meaning, empty if that is elsewhere, and the places that it leads to:
    many pieces of code lead to the same."""
    node = _definition(module, name)
    if isinstance(node, ast.ImportFrom):
        origin = _origin(module, node, name)
        return "", (origin,) if _within(origin[0], room) else ()
    if node is None:
        return "", ()
    places = (_place(module, each, room) for each in _named(node))
    return f"{module} {name}\n{ast.unparse(node)}", tuple(filter(None, places))


def _place(module: str, name: str, room: str) -> tuple[str, str] | None:
    """(module, name) of what a name that stands in a module leads to; None if not into the room."""
    first, _, rest = name.partition(".")
    node = _definition(module, first)
    if rest and isinstance(node, ast.ImportFrom):
        origin = ".".join(_origin(module, node, first))
        return (origin, rest) if _within(origin, room) and _is_module(origin) else None
    return None if rest or node is None else (module, first)


def _named(node: ast.AST) -> set[str]:
    """The names that a piece of code reads; of attributes, with what they are read from."""
    found = set()
    todo = [node]
    while todo:  # as ast.walk, in half the time
        each = todo.pop()
        if isinstance(each, ast.Name):
            found.add(each.id)
            continue
        if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name):
            found.add(f"{each.value.id}.{each.attr}")
        for held in each.__dict__.values():
            if isinstance(held, ast.AST):
                todo.append(held)
            elif isinstance(held, list):
                todo += [one for one in held if isinstance(one, ast.AST)]
    return found


def _definition(module: str, qualname: str) -> ast.AST | None:
    """What gives a name of a module its meaning, a method's by its class; None if nothing does."""
    first, *rest = qualname.split(".")
    node = _names(module).get(first)
    for name in rest:
        node = None if node is None else _defined(node).get(name)
    return node


@cache
def _names(module: str) -> dict[str, ast.AST]:
    return _defined(_tree(module))


def _defined(node: ast.AST) -> dict[str, ast.AST]:
    """What stands in a module or class by its name, with what defines it."""
    found: dict[str, ast.AST] = {}
    for each in ast.iter_child_nodes(node):
        if isinstance(each, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found[each.name] = each
        elif isinstance(each, ast.ImportFrom):
            found.update({alias.asname or alias.name: each for alias in each.names})
        elif isinstance(each, ast.Assign | ast.AnnAssign):
            targets = each.targets if isinstance(each, ast.Assign) else [each.target]
            names = [part for target in targets for part in ast.walk(target)]
            found.update({part.id: each for part in names if isinstance(part, ast.Name)})
    return found


def _origin(module: str, node: ast.ImportFrom, name: str) -> tuple[str, str]:
    """(module, name) of a name that a module imports."""
    alias = next(alias for alias in node.names if name in (alias.asname, alias.name))
    return _from(module, node), alias.name


def _from(module: str, node: ast.ImportFrom) -> str:
    package = module if _is_package(module) else module.rpartition(".")[0]
    return resolve_name("." * node.level + (node.module or ""), package)


def _within(module: str, room: str) -> bool:
    return module.partition(".")[0] == room


@cache
def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # its parent is no package
        return False


@cache
def _is_package(name: str) -> bool:
    spec = find_spec(name)
    return spec is not None and spec.submodule_search_locations is not None


@cache
def _tree(name: str) -> ast.Module:
    """A module's code without its docstrings."""
    package, _, module = name.rpartition(".")
    if _is_package(name):
        source = files(name) / "__init__.py"
    else:
        source = files(package) / f"{module}.py"
    return _unsaid(_parsed(source.read_text("utf-8")))


def _parsed(source: str) -> ast.Module:
    with _PARSING:
        return ast.parse(source)


def _unsaid(tree: ast.Module) -> ast.Module:
    """The same without what is only said: docstrings, of constants too."""
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [
                each
                for each in body
                if not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))
            ]
            node.body = kept or [ast.Pass()]  # type: ignore[attr-defined]
        for blocks in BLOCKS:  # nothing is said within an expression
            found = getattr(node, blocks, None)
            todo += found if isinstance(found, list) else ()
    return tree
