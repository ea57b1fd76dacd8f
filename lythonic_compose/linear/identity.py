"""Is a function, or a value that is given, the same as it was in an earlier run? By a digest.

Digests only: nothing of a value can be read from them. What is concluded from a change is not
known here.
"""

from __future__ import annotations

import dis
import functools
import inspect
import pickle
import sys
import types
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Any

from ..code_hash import UNKNOWN, code_hash
from ..values import exact_text


def digest(*parts: str | bytes) -> str:
    """The digest of texts and bytes, each by itself."""
    made = blake2b(digest_size=16)
    for part in parts:
        content = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        made.update(len(content).to_bytes(8, "big"))
        made.update(content)
    return made.hexdigest()


def code_of(function: Callable[..., Any]) -> str:
    """What tells whether the code of a function has changed, with what is bound to it.

    That is what a partial or a default holds, the object of a method, and the numbers, texts and
    tuples among the globals and closed over names that it reads; lists and dicts are not looked at
    there, which programs write to. Where there is no source its bytecode does, or for what is not
    written in Python its name.
    """
    found = [code_hash(function)]
    inner: Any = function
    while isinstance(inner, functools.partial):
        bound: dict[Any, Any] = {**dict(enumerate(inner.args)), **inner.keywords}
        found += [f"{name}={fingerprint(value)}" for name, value in bound.items()]
        inner = inner.func
    owner = getattr(inner, "__self__", inner)
    if not isinstance(owner, (type, types.ModuleType)) and not inspect.isroutine(owner):
        found.append(f"of {fingerprint(owner)}")
    inner = getattr(inner, "__func__", inner)
    if isinstance(inner, types.FunctionType):
        found += _around(inner)
    if found[0] == UNKNOWN:
        found[0] = (
            digest(sys.version, *_bytecode(inner.__code__))
            if isinstance(inner, types.FunctionType)
            else f"{getattr(inner, '__module__', '')}:{getattr(inner, '__qualname__', '')}"
        )
    return found[0] if len(found) == 1 else digest(*found)


_PLAIN = (bool, int, float, complex, str, bytes, type(None))


def _around(function: types.FunctionType) -> Iterator[str]:
    """The plain values that a function reads from outside and does not write."""
    names: dict[str, Any] = dict(function.__globals__)
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            names.pop(name, None)
    read, written = set[str](), set[str]()
    for step in dis.get_instructions(function.__code__):
        if step.opname.startswith(("STORE_GLOBAL", "STORE_DEREF")):
            written.add(str(step.argval))
        elif step.opname.startswith(("LOAD_GLOBAL", "LOAD_DEREF", "LOAD_CLOSURE")):
            read.add(str(step.argval))
    for name in sorted(read - written):
        if name in names and _is_plain(names[name]):
            yield f"{name}={names[name]!r}"
    for value in [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]:
        if _is_plain(value):
            yield f"default {value!r}"


def _is_plain(value: Any) -> bool:
    if type(value) is tuple:
        return all(map(_is_plain, value))
    return type(value) in _PLAIN


def _bytecode(code: types.CodeType) -> Iterator[str | bytes]:
    yield code.co_code
    yield repr((code.co_names, code.co_varnames, code.co_freevars))
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _bytecode(constant)
        elif isinstance(constant, frozenset):
            yield repr(sorted(map(repr, constant)))
        else:
            yield repr(constant)


def fingerprint(value: Any) -> str | None:
    """A text that changes when a value does; None where nobody can tell, as of a connection."""
    if isinstance(value, (type, types.FunctionType, functools.partial)):
        return code_of(value)
    text = exact_text(value, type(value))
    if text is not None:
        return digest(type(value).__qualname__, text)
    try:
        return digest(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
    except Exception:  # noqa: BLE001 - any class may refuse, in its own way
        return None


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same, as far as anybody can tell."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    try:
        if bool(one == other):
            return True
    except Exception:  # noqa: BLE001 - a table compares to a table, which is neither true nor false
        pass
    mark = fingerprint(one)
    return mark is not None and mark == fingerprint(other)
