"""What is a run given that a trigger begins? A payload as values of the types that are declared.

A payload comes out of YAML, or out of a database as JSON, and knows neither dates nor models. Whose
payload it is, and when the run begins, is not known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from pydantic import TypeAdapter, ValidationError

from ..config import Payload as KeptPayload
from ..errors import DagError, TriggerError
from ..fit import adapter_of, is_known, shown
from ..plan import Plan
from ..wiring import inputs_of

Payload: TypeAlias = Mapping[str, Mapping[str, Any]]


def kept_payload(value: Any, whose: str) -> dict[str, dict[str, Any]]:
    """A payload as it is kept: as JSON says it.

    Raises:
        TriggerError: it is none, or JSON cannot say it; `whose` it is stands in the message.
    """
    try:
        return TypeAdapter(KeptPayload).validate_python(value)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        where = "".join(f".{part}" for part in detail["loc"])
        why = detail["msg"].removeprefix("Value error, ")
        raise TriggerError(
            f'{whose} is a payload by node and parameter, {{"fetch": {{"url": …}}}}, and not '
            f"{value!r} ({f'{where[1:]}: ' if where else ''}{why})"
        ) from error


def inputs_from(plan: Plan, payload: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The inputs of a run by the path of a node and parameter, each as its parameter declares it.

    Example:
        >>> inputs_from(dag.plan(), {"report": {"day": "2026-01-31"}})
        {'report': {'day': datetime.date(2026, 1, 31)}}

    Raises:
        UnknownName: nothing takes one of them.
        DagError: with everything that is of another type.
    """
    problems: list[str] = []
    found: dict[str, dict[str, Any]] = {}
    for path, values in inputs_of(plan, payload, {}, {}).items():
        declared = {binding.param: binding.arg.annotation for binding in plan.paths[path].bindings}
        found[path] = {}
        for name, value in values.items():
            try:
                found[path][name] = _as_declared(declared[name], value)
            except ValidationError as error:
                why = error.errors(include_url=False)[0]["msg"]
                problems.append(f"{path}.{name} is to be {shown(declared[name])}: {why}")
    if problems:
        raise DagError(problems)
    return found


def _as_declared(annotation: Any, value: Any) -> Any:
    adapter = adapter_of(annotation) if is_known(annotation) else None
    return value if adapter is None else adapter.validate_python(value)
