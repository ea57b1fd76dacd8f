"""What is a step of a pipeline? A function, with the names of what it takes and of what it makes.

What is wrong with a step by itself is found when it is described. Which objects stand behind the
names is not known here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from datetime import timedelta
from functools import cached_property
from typing import Any, cast, get_args, get_origin

from lythonic_state.fields import frozen

from ..errors import DagError, WiringError, WrongKind, enumerated
from ..fit import is_known, shown
from ..outputs.declared import Writing
from ..retry import Retry
from ..signature import MISSING, Arg, Method, Unresolved

CONFIG = "config"


def is_config(name: str) -> bool:
    """Whether a name is looked up in the configuration."""
    return name == CONFIG or name.startswith(CONFIG + ".")


class Node:
    """A function with the names of its inputs, in the order of its parameters, and of its outputs.

    A function with several outputs returns as many values. With `profile=True` it is logged how
    much memory the call took. `retry`, `timeout` (seconds) and `write` are as in `Dag.node`: a
    pipeline with such a node is run by the engine.

    Example:
        >>> Node(func=clean, inputs=["df", "config.cleaning"], outputs=["df_clean"])
        <Node clean: df, config.cleaning -> df_clean>

    Raises:
        WrongKind: `func` cannot be called, or the names are no list of texts.
        DagError: the names fit neither the parameters of the function nor what it returns.
    """

    def __init__(
        self,
        func: Callable[..., Any],
        inputs: Sequence[str] = (),
        outputs: Sequence[str] = (),
        profile: bool = False,
        *,
        retry: Retry | None = None,
        timeout: float | timedelta | None = None,
        write: Writing | None = None,
    ) -> None:
        self.func = func
        self.method = Method(func)
        self.name: str = getattr(func, "__name__", None) or self.method.name
        self.inputs = _names(self.name, "inputs", inputs)
        self.outputs = _names(self.name, "outputs", outputs)
        self.profile = profile
        self.retry = retry
        self.timeout = timeout
        self.write: Writing | None = write
        problems = [*_output_problems(self), *self._takes.problems]
        if problems:
            raise DagError(problems)

    def __repr__(self) -> str:
        outputs = ", ".join(self.outputs) or "nothing"
        return f"<Node {self.name}: {', '.join(self.inputs) or 'nothing'} -> {outputs}>"

    def run(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Calls the function with objects by name; what it makes, by name. For tests of one node.

        Example:
            >>> Node(add, inputs=["x", "y"], outputs=["sum"]).run({"x": 2, "y": 3})
            {'sum': 5}

        Raises:
            DagError: an input is missing.
            WiringError: it returned another number of values than it has outputs.
        """
        missing = [name for name in self.inputs if name not in data]
        if missing:
            raise DagError(f"{self.name} takes {enumerated(missing)}; give run({{…}}) all inputs")
        result = self.call([data[name] for name in self.inputs])
        return dict(zip(self.outputs, self.spread(result), strict=True))

    def call(self, values: Sequence[Any]) -> Any:
        """Calls the function with the values of its inputs, in their order."""
        takes = self._takes
        if not takes.by_name:
            return self.func(*values)
        named = dict(zip(takes.by_name, values[takes.positional :], strict=True))
        return self.func(*values[: takes.positional], **named)

    def spread(self, result: Any) -> tuple[Any, ...]:
        """What the function returned, one value for each output.

        Raises:
            WiringError: these are more, or fewer.
        """
        count = len(self.outputs)
        if count == 1:
            return (result,)
        if count == 0:
            return ()
        if (
            not isinstance(result, Collection)
            or isinstance(result, (str, bytes, Mapping, Set))
            or len(result) != count
        ):
            raise WiringError(
                f"{self.name} has {count} outputs ({', '.join(self.outputs)}) and returned "
                f"{_counted(result)}; return as many values as it has outputs"
            )
        return tuple(result)

    def returned(self, outputs: Sequence[Any]) -> Any:
        """What the function returned, made of its outputs again."""
        if len(self.outputs) == 1:
            return outputs[0]
        kind = get_origin(self.returns) or self.returns
        if kind is list:
            return list(outputs)
        return kind(*outputs) if hasattr(kind, "_fields") else tuple(outputs)

    @property
    def args(self) -> tuple[Arg | None, ...]:
        """The parameter of each input; None where the function does not tell."""
        return self._takes.args

    def call_with(self, *values: Any) -> Any:
        return self.call(values)

    @property
    def is_positional(self) -> bool:
        """Whether all values go to it by position."""
        return not self._takes.by_name

    @cached_property
    def hints(self) -> dict[str, Any]:
        """The declared type of each output; MISSING where nobody says."""
        kinds = _kinds(self)
        if isinstance(kinds, str):  # which was told when it was described
            return dict.fromkeys(self.outputs, MISSING)
        return dict(zip(self.outputs, kinds, strict=True))

    @cached_property
    def returns(self) -> Any:
        """The declared return type; MISSING where nobody says, or what was said is not known."""
        try:
            found = self.method.return_annotation
        except WrongKind:
            return MISSING
        return MISSING if isinstance(found, Unresolved) else found

    @cached_property
    def _takes(self) -> _Takes:
        return _matched(self)


def create_named_partial_function(
    func: Callable[..., Any], func_name: str, **kwargs: Any
) -> Callable[..., Any]:
    """A function with some arguments given already, and a name of its own.

    Example:
        >>> write_metrics = create_named_partial_function(write, "write_metrics", table="metrics")
        >>> Node(write_metrics, inputs=["metrics"], outputs=[])
        <Node write_metrics: metrics -> nothing>

    Raises:
        WrongKind: `func` cannot be called, or the name is none.
        DagError: it has no parameter of that name.
    """
    method = Method(func)
    if not isinstance(func_name, str) or not func_name:
        raise WrongKind(f"func_name={func_name!r}: a name is text, and not empty")
    known = [arg.name for arg in method.args]
    unknown = [name for name in kwargs if name not in known]
    if unknown and not any(each.startswith("**") for each in method.variadic):
        raise DagError(
            f"{method.name} has no parameter {enumerated(unknown)}; it takes {enumerated(known)}"
        )
    made: Any = functools.partial(func, **kwargs)
    made.__name__ = func_name
    made.__doc__ = method.doc
    return cast("Callable[..., Any]", made)


# --- names ----------------------------------------------------------------------------------


def _names(node: str, what: str, given: Any) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, (list, tuple)):
        raise WrongKind(f"{node}: {what}={given!r}: write a list of names, {what}=[…]")
    names = cast("Sequence[Any]", given)
    for name in names:
        if not isinstance(name, str) or not name:
            raise WrongKind(f"{node}: {what} has {name!r}: a name is text, and not empty")
    return tuple(names)


def _output_problems(node: Node) -> list[str]:
    found = [
        f"{node.name} has the output {name!r}, and names with config are looked up in the "
        "configuration; call it otherwise"
        for name in node.outputs
        if is_config(name)
    ]
    twice = sorted({name for name in node.outputs if node.outputs.count(name) > 1})
    if twice:
        found.append(f"{node.name} has the output {enumerated(twice)} twice; give each a name")
    kinds = _kinds(node)
    return [*found, kinds] if isinstance(kinds, str) else found


# --- what it returns ------------------------------------------------------------------------


def _kinds(node: Node) -> Sequence[Any] | str:
    """The declared type of each output, or what is wrong with what is declared."""
    returns, count = node.returns, len(node.outputs)
    if count < 2:
        return [returns] * count
    kind, given = get_origin(returns) or returns, get_args(returns)
    fields = getattr(kind, "_fields", None)
    if isinstance(kind, type) and issubclass(kind, tuple):
        if fields is not None:
            declared = Method(kind).args
            given = tuple(each.annotation for each in declared) or (MISSING,) * len(fields)
        elif not given:
            given = (MISSING, Ellipsis)
        if len(given) == 2 and given[1] is Ellipsis:
            return [given[0]] * count
        if len(given) == count:
            return given
        return (
            f"{node.name} has {count} outputs ({', '.join(node.outputs)}), and is declared to "
            f"return {len(given)} values ({shown(returns)}); change one of them"
        )
    holds = is_known(returns) and isinstance(kind, type) and not _may_be_several(kind)
    if holds:
        return (
            f"{node.name} has {count} outputs ({', '.join(node.outputs)}), and is declared to "
            f"return {shown(returns)}; declare a tuple of {count}, or give it one output"
        )
    return [MISSING] * count


def _may_be_several(kind: type) -> bool:
    if issubclass(kind, (str, bytes, Mapping, Set)):
        return False
    return issubclass(kind, Collection) or kind is object or issubclass(tuple, kind)


def _counted(result: Any) -> str:
    if isinstance(result, (tuple, list)):
        return f"{len(result)} values"
    return f"one of type {type(result).__name__}"


# --- what it takes --------------------------------------------------------------------------


@frozen
class _Takes:
    """How the values of inputs become arguments."""

    args: tuple[Arg | None, ...]
    positional: int
    by_name: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def _matched(node: Node) -> _Takes:
    """Inputs go to parameters in their order; those that a partial has bound are left out."""
    method, count = node.method, len(node.inputs)
    unknown = _Takes((None,) * count, count)
    try:
        bound = _bound(node.func)
        free = [arg for arg in method.args if arg.name not in bound]
        any_number = any(not name.startswith("**") for name in method.variadic)
    except WrongKind:  # some builtins do not tell what they take
        return unknown
    taken = free[:count]
    names = ", ".join(arg.name for arg in free) or "nothing"
    if count > len(free) and not any_number:
        return _told(unknown, f"{node.name} takes {names}, and has {count} inputs: {_list(node)}")
    left = [arg.name for arg in free[count:] if arg.required]
    if left:
        return _told(
            unknown,
            f"{node.name} takes {names}, and has no input for {enumerated(left)}: {_list(node)}",
        )
    positional = next((at for at, arg in enumerate(taken) if arg.keyword_only), count)
    if positional < len(taken) < count:
        return _told(unknown, f"{node.name} takes {names} by name, and has {count} inputs")
    args: list[Arg | None] = [*taken, *[None] * (count - len(taken))]
    return _Takes(tuple(args), positional, tuple(arg.name for arg in taken[positional:]))


def _told(takes: _Takes, problem: str) -> _Takes:
    return _Takes(takes.args, takes.positional, (), (f"{problem}; give one name for each",))


def _list(node: Node) -> str:
    return f"[{', '.join(node.inputs)}]"


def _bound(function: Any) -> set[str]:
    bound: set[str] = set()
    while isinstance(function, functools.partial):
        bound |= set(function.keywords)
        function = function.func
    return bound
