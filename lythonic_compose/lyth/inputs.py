"""Which inputs of a run do texts from a command line mean?

Each becomes a value of the type that the parameter says which takes it. Nothing is run here, and no
option is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from ..errors import ComposeError, DagError, UnknownName, nearest
from ..fit import adapter_of, is_known, shown
from ..plan import Plan
from ..signature import Arg
from ..wiring import inputs_by_node, taker

Inputs = dict[str, dict[str, Any]]
"""By the path of a node and parameter, as `run` takes them."""


def inputs_of_texts(plan: Plan, texts: Iterable[str]) -> Inputs:
    """Inputs that are given one by one, as "node.parameter=value" or "parameter=value".

    Example:
        >>> inputs_of_texts(dag.plan(), ["fetch.url=https://example.com", "limit=3"])
        {'fetch': {'url': 'https://example.com', 'limit': 3}}

    Raises:
        DagError: with everything that nothing takes, or that is of another type.
    """
    found: Inputs = {}
    problems: list[str] = []
    for text in texts:
        name, sign, value = text.partition("=")
        try:
            if not sign:
                raise DagError("write it as node.parameter=value")
            where, arg = _taker(plan, name, found)
            found.setdefault(where, {})[arg.name] = value_of_text(arg.annotation, value)
        except ComposeError as error:
            problems.append(f"--input {name}: {error}")
    if problems:
        raise DagError(problems)
    return found


def inputs_of_json(plan: Plan, text: str | bytes, source: str) -> Inputs:
    """Inputs out of a JSON object: by node and parameter, or by parameter where only one takes it.

    Raises:
        DagError: it is no such JSON, or with everything in it that makes no sense.
    """
    try:
        document = json.loads(text)
    except ValueError as error:  # also of bytes that are no text
        raise DagError(f"{source} is no JSON: {error}") from error
    if not isinstance(document, Mapping):
        raise DagError(f'{source}: inputs are an object by node, {{"fetch": {{"url": "…"}}}}')
    found: Inputs = {}
    problems: list[str] = []
    for name, value in _single(plan, cast("Mapping[str, Any]", document)):
        try:
            where, arg = _taker(plan, name, found)
            found.setdefault(where, {})[arg.name] = _of_json(arg.annotation, value)
        except ComposeError as error:
            problems.append(f"{source}: {name}: {error}")
    if problems:
        raise DagError(problems)
    return found


def together(first: Inputs, then: Inputs) -> Inputs:
    """Both; where one parameter is in both, the latter counts."""
    return {path: {**first.get(path, {}), **then.get(path, {})} for path in {**first, **then}}


def check_all_given(plan: Plan, given: Inputs) -> None:
    """Says what is missing, as somebody at a terminal would give it.

    Raises:
        DagError: with every input that is missing.
    """
    problems = [
        f"the input {binding.param!r} of {path} is missing ({shown(binding.arg.annotation)}); "
        f"give --input {path}.{binding.param}=…"
        for path, node in plan.paths.items()
        for binding in node.bindings
        if binding.rule == "input" and binding.param not in given.get(path, {})
    ]
    if problems:
        raise DagError(problems)


# --- who takes it ---------------------------------------------------------------------------


def _taker(plan: Plan, name: str, given: Inputs) -> tuple[str, Arg]:
    """The path of the node that takes "node.parameter" or "parameter", and that parameter."""
    path, dot, param = name.rpartition(".")
    if not dot:
        path = _only_taker(plan, param)
    elif path not in plan.paths:
        raise UnknownName(f"there is no node {path!r}{nearest(path, plan.paths)}")
    where = taker(plan, path, param)
    if param in given.get(where, {}):
        raise DagError(f"{where}.{param} is given twice")
    args = [binding.arg for binding in plan.paths[where].bindings if binding.param == param]
    return where, args[0]


def _only_taker(plan: Plan, param: str) -> str:
    paths = [
        path
        for path, node in plan.paths.items()
        if any(binding.param == param and binding.is_given for binding in node.bindings)
    ]
    if not paths:
        if param in plan.paths:
            raise UnknownName(f"{param!r} is a node: give its parameters, as {param}.parameter=…")
        inputs_by_node(plan, {param: None})  # says what it is instead, or what is near
    if len(paths) > 1:
        choices = [f"{path}.{param}" for path in paths]
        raise DagError(f"several nodes take {param!r}: say {' or '.join(choices)}")
    return paths[0]


def _single(plan: Plan, document: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """What is given one by one; what is given for a node is an object by parameter."""
    for name, value in document.items():
        if name in plan.paths and isinstance(value, Mapping):
            for param, inner in cast("Mapping[str, Any]", value).items():
                yield f"{name}.{param}", inner
        else:
            yield name, value


# --- values ---------------------------------------------------------------------------------


def value_of_text(annotation: Any, text: str) -> Any:
    """A text as a value of a type: as people write it, or as JSON.

    Example:
        >>> value_of_text(date, "2026-01-31"), value_of_text(list[int], "[1, 2]")
        (datetime.date(2026, 1, 31), [1, 2])

    Raises:
        DagError: it is none.
    """
    if not is_known(annotation):
        try:
            return json.loads(text)
        except ValueError:
            return text
    adapter = _adapter(annotation)
    try:
        return adapter.validate_strings(text)
    except ValidationError as error:
        as_text = error
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        is_json = not any(each["type"] == "json_invalid" for each in error.errors())
        raise DagError(_complaint(annotation, text, error if is_json else as_text)) from error


def _of_json(annotation: Any, value: Any) -> Any:
    if not is_known(annotation):
        return value
    text = json.dumps(value)
    try:
        return _adapter(annotation).validate_json(text)
    except ValidationError as error:
        raise DagError(_complaint(annotation, text, error)) from error


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    adapter = adapter_of(annotation)
    if adapter is None:
        raise DagError(
            f"it is to be {shown(annotation)}, of which no text makes a value; run it from Python"
        )
    return adapter


def _complaint(annotation: Any, text: str, error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = "".join(f"[{part!r}]" for part in first["loc"])
    given = text if len(text) <= 60 else f"{text[:57]}…"
    hint = ""
    if first["type"].startswith(("list", "dict", "tuple", "set", "frozen_set", "model", "data")):
        hint = "; lists, dicts and models are given as JSON"
    reason = f"{where} {first['msg']}".strip()
    return f"it is to be {shown(annotation)}, got {given!r} ({reason}{hint})"
