"""Has the code of a function changed? A hash of its source, and of what it calls nearby.

The source is normalised, so that comments, docstrings and formatting do not count. The functions
and classes of the same package that a function names are hashed with it, and those that they name.
Nothing is called here, and no module is imported.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from hashlib import sha256
from typing import Any, Final, TypeAlias, cast
from weakref import WeakKeyDictionary

from lythonic_state.fields import frozen

ALGORITHM = 1
"""Part of every hash; grows with each change of what makes them."""

UNKNOWN: Final = "unknown"

Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda


def code_hash(function: Callable[..., Any]) -> str:
    """The hash of a callable's code as "1:" and digits, or "unknown" where there is no source.

    It takes functions, methods, partials, classes and objects that can be called.

    Example:
        >>> code_hash(fetch)
        '1:5b8e…'
    """
    try:
        known = _hashes.get(function)
    except TypeError:  # it cannot be hashed, or not be referred to weakly
        return _hash(function)
    if known is None:
        known = _hashes[function] = _hash(function)
    return known


_hashes: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


@frozen
class _Code:
    """A function or a class, and the class whose `self` it gets."""

    code: Any
    owner: type | None = None


def _hash(function: Any) -> str:
    try:
        texts = _texts(function)
    except Exception:  # noqa: BLE001 - objects may lie about what they are; no run fails of that
        return UNKNOWN
    if texts is None:
        return UNKNOWN
    digest = sha256("\0".join(texts).encode("utf-8", "backslashreplace")).hexdigest()
    return f"{ALGORITHM}:{digest}"


def _texts(function: Any) -> list[str] | None:
    """The function's own code, then what it calls, in an order that does not depend on names."""
    layers = list(_layers(function))
    if not layers:
        return None
    package = _package(layers[-1].code)
    own = [layer for layer in layers if _package(layer.code) == package]
    texts = [*_arguments(function)]
    waiting: list[_Code] = []
    for layer in own:
        definition = _definition(layer.code)
        if definition is None:
            return None
        texts.append(_normal(definition))
        waiting += _named(layer, definition, package)
    seen = {layer.code for layer in own}
    others: set[str] = set()
    while waiting:
        each = waiting.pop()
        if each.code in seen:
            continue
        seen.add(each.code)
        definition = _definition(each.code)
        if definition is None:
            others.add(f"{each.code.__qualname__}: {UNKNOWN}")
        else:
            others.add(_normal(definition))
            waiting += _named(each, definition, package)
    return [*texts, *sorted(others)]


def _layers(what: Any, owner: type | None = None) -> Iterator[_Code]:
    """The code of something that can be called, from the wrappers inwards."""
    if isinstance(what, (staticmethod, classmethod, types.MethodType)):
        if isinstance(what, types.MethodType):
            owner = what.__self__ if isinstance(what.__self__, type) else type(what.__self__)
        yield from _layers(cast(Any, what).__func__, owner)
    elif isinstance(what, partial):
        yield from _layers(what.func, owner)
    elif isinstance(what, property):
        for accessor in (what.fget, what.fset):
            yield from _layers(accessor, owner)
    elif isinstance(what, type):
        yield _Code(what)
    elif isinstance(what, types.FunctionType):
        yield _Code(what, owner)
        yield from _layers(getattr(what, "__wrapped__", None), owner)
    elif hasattr(what, "__wrapped__"):
        yield from _layers(what.__wrapped__, owner)
    elif callable(what) and not inspect.isroutine(what):
        call = inspect.getattr_static(type(what), "__call__", None)
        yield from _layers(call, type(what))


def _arguments(what: Any) -> Iterator[str]:
    """The arguments that a partial has bound, where their text is the same in every process."""
    while isinstance(what, types.FunctionType):
        what = getattr(what, "__wrapped__", None)
    while isinstance(what, partial):
        bound: dict[Any, Any] = {**dict(enumerate(what.args)), **what.keywords}
        for name, value in bound.items():
            if isinstance(value, (str, bytes, int, float, type(None))):
                yield f"{name}={value!r}"
            else:
                yield f"{name}: {type(value).__qualname__}"
        what = what.func


def _package(code: types.FunctionType | type) -> str:
    name = code.__module__
    spec = getattr(sys.modules.get(name), "__spec__", None)
    # `python -m shop.main` is of the package shop
    return (spec.name if name == "__main__" and spec is not None else name).partition(".")[0]


# --- source ---------------------------------------------------------------------------------


def _definition(code: types.FunctionType | type) -> Definition | None:
    """Where it is defined, as a syntax tree; None if that is not to be found."""
    if not isinstance(code, types.FunctionType):
        module = sys.modules.get(code.__module__)
        tree = _tree(getattr(module, "__file__", None), vars(module) if module else {})
        classes = [] if tree is None else list(_classes(tree, code.__qualname__))
        line = getattr(code, "__firstlineno__", None)
        exact = [each for each in classes if _first_line(each) == line]
        candidates = exact or classes
        return candidates[-1] if candidates else None
    inner = code.__code__
    tree = _tree(inner.co_filename, code.__globals__)
    if tree is None:
        return None
    found = _functions(tree).get((inner.co_name, inner.co_firstlineno), [])
    if inner.co_name == "<lambda>" and len(found) > 1:
        found = [each for each in found if _holds(each, inner)]
    # the innermost of several lambdas is the last
    return found[-1] if found else None


def _tree(path: str | None, names: Mapping[str, Any]) -> ast.Module | None:
    if path is None:
        return None
    linecache.checkcache(path)
    return _parsed("".join(linecache.getlines(path, dict(names))))


@lru_cache(maxsize=64)
def _parsed(text: str) -> ast.Module | None:
    try:
        return ast.parse(text) if text else None
    except SyntaxError:
        return None


def _first_line(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _classes(tree: ast.AST, qualname: str) -> Iterator[ast.ClassDef]:
    """The classes of a qualified name, in the order in which they stand there."""
    first, _, rest = qualname.replace("<locals>.", "").partition(".")
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            if node.name == first and rest:
                yield from _classes(node, rest)
            elif node.name == first and isinstance(node, ast.ClassDef):
                yield node
        else:  # an if, a try, a with
            yield from _classes(node, qualname)


@lru_cache(maxsize=64)
def _functions(tree: ast.Module) -> dict[tuple[str, int], list[Definition]]:
    """By name and the line in which they begin, the outer ones first."""
    found: dict[tuple[str, int], list[Definition]] = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found.setdefault((node.name, _first_line(node)), []).append(node)
        elif isinstance(node, ast.Lambda):
            found.setdefault(("<lambda>", node.lineno), []).append(node)
    return found


def _holds(node: Any, code: types.CodeType) -> bool:
    """Whether all code of a lambda stands in the body of this one; a line may have several."""
    body = node.body
    begin, end = (body.lineno, body.col_offset), (body.end_lineno, body.end_col_offset)
    places = [place for place in code.co_positions() if None not in place and place[2] != place[3]]
    return bool(places) and all(
        begin <= (line, column) and (end_line, end_column) <= end
        for line, end_line, column, end_column in cast(Any, places)
    )


@lru_cache(maxsize=1024)
def _normal(definition: Definition) -> str:
    """The source without docstrings and comments, in the one way that Python writes it."""
    copy = ast.parse(ast.unparse(definition))
    for node in ast.walk(copy):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and (
            ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(copy)


# --- what it names --------------------------------------------------------------------------


def _named(each: _Code, definition: Definition, package: str) -> Iterator[_Code]:
    """The functions and classes of the package that stand in a definition."""
    scope, own, me = vars(sys.modules[each.code.__module__]), frozenset[str](), None
    if isinstance(each.code, types.FunctionType):
        code = each.code.__code__
        scope = {**each.code.__globals__, **_closure(each.code)}
        own = frozenset(code.co_varnames)
        me = code.co_varnames[0] if each.owner is not None and code.co_varnames else None
    for first, *rest in _chains(definition):
        if first == me:
            found, owner = _member(each.owner, rest[:1]), each.owner
        elif first in own or first not in scope:
            continue
        else:
            found, owner = scope[first], None
            while rest and isinstance(found, types.ModuleType):
                found = vars(found).get(rest.pop(0))
            if rest and not isinstance(found, (type, types.FunctionType)):
                found, owner = _member(type(found), rest[:1]), type(found)
        for layer in _layers(found, owner):
            if _package(layer.code) == package:
                yield layer


def _chains(node: ast.AST) -> Iterator[list[str]]:
    """Every name, with the attributes that are asked of it: `clean`, `prices.clean`."""
    attributes: list[str] = []
    inner = node
    while isinstance(inner, ast.Attribute):
        attributes.insert(0, inner.attr)
        inner = inner.value
    if isinstance(inner, ast.Name):
        yield [inner.id, *attributes]
        return
    for name, value in ast.iter_fields(inner):
        # what a function is annotated with, it does not call
        if name == "returns" or (name == "annotation" and isinstance(inner, ast.arg)):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _chains(child)


def _member(owner: type | None, name: list[str]) -> Any:
    return inspect.getattr_static(owner, name[0], None) if name else None


def _closure(function: types.FunctionType) -> dict[str, Any]:
    found: dict[str, Any] = {}
    names = function.__code__.co_freevars
    for name, cell in zip(names, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return found
