"""Random graphs are wired as a small model of the rules says, and what is accepted runs.

The model is written from the rules' own words and knows nothing of how the plan is made: types are
its own little terms, and a graph is a list of steps.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, NewType

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from lythonic_compose import Dag, DagContext, DagError, DagRunner
from lythonic_compose.signature import MISSING


class Animal:
    pass


class Dog(Animal):
    pass


UserId = NewType("UserId", int)
Cents = Annotated[int, "cents"]

# --- types as terms -------------------------------------------------------------------------

Term = tuple[Any, ...]
ANY: Term = ("any",)
UNKNOWN: Term = ("unknown",)
NONE: Term = ("none",)
NAMED: dict[str, Any] = {
    "int": int, "bool": bool, "str": str, "Animal": Animal, "Dog": Dog, "UserId": UserId,
    "Cents": Cents,
}  # fmt: skip
ABOVE = {"bool": "int", "Dog": "Animal"}  # what a class is a subclass of
STANDS_FOR = {"UserId": "int", "Cents": "int"}  # types of their own, and their values


def named(name: str) -> Term:
    return ("named", name)


def a_list(item: Term) -> Term:
    return ("list", item)


def a_dict(item: Term) -> Term:
    return ("dict", item)


def a_pair(item: Term) -> Term:
    return ("pair", item)


def either(*members: Term) -> Term:
    return ("union", frozenset(members))


def annotation(term: Term) -> Any:
    match term:
        case ("any",):
            return Any
        case ("unknown",):
            return MISSING
        case ("none",):
            return None
        case ("named", name):
            return NAMED[name]
        case ("list", item):
            return list[annotation(item)]  # type: ignore[misc]
        case ("dict", item):
            return dict[str, annotation(item)]  # type: ignore[misc]
        case ("pair", item):
            return tuple[str, annotation(item)]  # type: ignore[misc]
        case ("tuple", item):
            return tuple[annotation(item), ...]  # type: ignore[misc]
    first, *others = sorted(term[1], key=spelled)
    union: Any = annotation(first)
    for member in others:
        union = union | annotation(member)
    return union


def spelled(term: Term) -> str:
    if term[0] == "union":
        return " | ".join(sorted(map(spelled, term[1])))
    return " of ".join(each if isinstance(each, str) else spelled(each) for each in term)


def value_of(term: Term, way: str = "way") -> Any:
    match term:
        case ("none",):
            return None
        case ("named", name):
            kind = NAMED[STANDS_FOR.get(name, name)]
            return {int: 7, bool: True, str: "text"}.get(kind) or Dog()
        case ("list", item):
            return [value_of(item, way), value_of(item, way)]
        case ("dict", item):
            return {key: value_of(item, way) for key in ("x", "y", "z")}
        case ("pair", item):
            return (way, value_of(item, way))
        case ("union", members):
            return value_of(max(members, key=lambda each: (each[0] == "list", spelled(each))), way)
    return 7


def fits(have: Term, want: Term) -> bool:
    """The same type, a subclass, a generic with fitting arguments, a member of a union."""
    if UNKNOWN in (have, want) or have == ANY:
        return False
    if want == ANY or have == want:
        return True
    if have[0] == "union":
        return all(fits(member, want) for member in have[1])
    if want[0] == "union":
        return any(fits(have, member) for member in want[1])
    if (have[0], want[0]) == ("pair", "tuple"):
        return fits(named("str"), want[1]) and item_fits(have[1], want[1])
    if have[0] != want[0]:
        return False
    if have[0] == "named":
        return ABOVE.get(have[1]) == want[1]
    return have[0] in ("list", "dict", "pair") and item_fits(have[1], want[1])


def item_fits(have: Term, want: Term) -> bool:
    """A list of anything may be a list of whatever is wanted."""
    return have == ANY or fits(have, want)


def says_all(term: Term) -> bool:
    return (
        known(term)
        and all(
            says_all(each) for part in term[1:] for each in (part if term[0] == "union" else [part])
        )
        if term[0] != "named"
        else True
    )


def meet(one: Term, two: Term) -> bool:
    """Whether a value of the one type may be of the other."""
    if {one, two} & {ANY, UNKNOWN}:
        return True
    for union, other in ((one, two), (two, one)):
        if union[0] == "union":
            return any(meet(member, other) for member in union[1])
    if one[0] == two[0] == "named":
        first, second = (STANDS_FOR.get(name, name) for name in (one[1], two[1]))
        return first == second or ABOVE.get(first) == second or ABOVE.get(second) == first
    for pair, several in ((one, two), (two, one)):
        if (pair[0], several[0]) == ("pair", "tuple"):
            return fits(pair, several)
    if one[0] == two[0] and len(one) > 1:
        return meet(one[1], two[1])
    return one == two


# --- graphs as lists of steps ---------------------------------------------------------------


@dataclass(frozen=True)
class Param:
    name: str
    kind: Term
    default: bool = False


@dataclass(frozen=True)
class Fn:
    params: tuple[Param, ...]
    returns: Term
    context: bool = False
    resource: bool = False


@dataclass(frozen=True)
class Sub:
    """One function, or two in a row."""

    first: Fn
    second: Fn | None = None


@dataclass(frozen=True)
class Over:
    """A map of a graph, or of a switch, or the graph or switch itself."""

    what: str  # "dag", "switch", "map", "map switch"
    subs: tuple[Sub, ...]


@dataclass(frozen=True)
class Step:
    label: str
    body: Fn | Over
    ups: tuple[tuple[int, str], ...]  # which step before, and "" or a parameter or "order only"


Steps = tuple[Step, ...]
BRANCHES = ("way", "other")

# --- the model ------------------------------------------------------------------------------


class Wrong(Exception):
    """The model refuses the graph at a node."""


Source = tuple[str, tuple[str, ...]]  # a rule, and the upstreams


@dataclass
class Wired:
    """What each parameter of each node gets, by path."""

    sources: dict[str, dict[str, Source]] = field(default_factory=dict)
    risky: bool = False
    """Whether a value along some edge is not known to be of the type that is wanted."""


def takers(params: Sequence[Param]) -> list[Param]:
    required = [param for param in params if not param.default]
    return required or (list(params) if len(params) == 1 else [])


def bind(
    label: str,
    params: Sequence[Param],
    edges: Sequence[tuple[str, str]],
    returns: Mapping[str, Term],
    wired: Wired,
) -> dict[str, Source]:
    """The rules, for one node with edges (upstream, parameter or "" or "order only")."""
    got: dict[str, Source] = {}
    by_name = {param.name: param for param in params}
    ups = list(dict.fromkeys(up for up, _ in edges))
    silent = {up for up, how in edges if how == "order only"}
    used: set[str] = set()

    def give(name: str, rule: str, up: str) -> None:
        if not meet(returns[up], by_name[name].kind):
            raise Wrong(label)
        if not fits(returns[up], by_name[name].kind) or not says_all(returns[up]):
            wired.risky = True
        got[name] = (rule, (up,))

    for up, how in edges:  # rule 1
        if how not in ("", "order only"):
            used.add(up)
            if how not in by_name or how in got:
                raise Wrong(label)
            give(how, "edge", up)
    for param in params:  # rule 2
        if param.name not in got and param.name in ups and param.name not in silent:
            used.add(param.name)
            give(param.name, "label", param.name)

    def free() -> list[str]:
        return [up for up in ups if up not in used and up not in silent and returns[up] != NONE]

    def open_params(*, required: bool) -> list[Param]:
        return [p for p in params if p.name not in got and not (required and p.default)]

    pairs = [  # rule 3
        (up, param.name)
        for up in free()
        for param in open_params(required=True)
        if fits(returns[up], param.kind)
    ]
    for one, two in itertools.combinations(pairs, 2):
        if one[0] == two[0] or one[1] == two[1]:
            raise Wrong(label)
    for up, name in pairs:
        used.add(up)
        give(name, "type", up)

    collected: dict[str, list[str]] = {}  # rule 4
    for param in open_params(required=False):
        if param.kind[0] in ("list", "dict"):
            fitting = [up for up in free() if fits(returns[up], param.kind[1])]
            if fitting:
                collected[param.name] = fitting
    if len(collected) > 1 and len(set().union(*collected.values())) < sum(
        map(len, collected.values())
    ):
        raise Wrong(label)
    for name, fitting in collected.items():
        used.update(fitting)
        got[name] = (by_name[name].kind[0], tuple(fitting))

    left = open_params(required=True)
    if len(left) == 1 and len(free()) == 1:  # rule 5
        (up,) = free()
        if {left[0].kind, returns[up]} & {ANY, UNKNOWN}:
            used.add(up)
            give(left[0].name, "only", up)
            left = []
    for up in free():  # order only, or an error
        if left or any(
            fits(returns[up], param.kind) or {returns[up], param.kind} & {ANY, UNKNOWN}
            for param in open_params(required=False)
        ):
            raise Wrong(label)
    for param in open_params(required=False):  # rule 6
        got[param.name] = ("default" if param.default else "input", ())
    return got


def plan_function(path: str, fn: Fn, got: dict[str, Source], wired: Wired) -> None:
    fixed: dict[str, Source] = {}
    if fn.context:
        fixed["ctx"] = ("context", ())
    if fn.resource:
        fixed["client"] = ("resource", ())
    wired.sources[path] = {**fixed, **got}


def plan_sub(path: str, sub: Sub, fed: Sequence[str], wired: Wired) -> Term:
    got: dict[str, Source] = {
        param.name: ("value", ())
        if param.name in fed
        else ("default" if param.default else "input", ())
        for param in sub.first.params
    }
    plan_function(f"{path}/first", sub.first, got, wired)
    if sub.second is None:
        return sub.first.returns
    returns = {"first": sub.first.returns}
    got = bind(f"{path}/second", sub.second.params, [("first", "")], returns, wired)
    plan_function(f"{path}/second", sub.second, got, wired)
    return sub.second.returns


def is_dict_like(term: Term) -> bool:
    return term in (ANY, UNKNOWN) or term[0] == "dict"


def item_of(term: Term) -> Term:
    return term[1] if term[0] in ("list", "dict") else UNKNOWN


CHOICE = either(a_pair(ANY), a_dict(ANY))


def plan_composite(
    step: Step, edges: list[tuple[str, str]], returns: Mapping[str, Term], wired: Wired
) -> Term:
    body, label = step.body, step.label
    assert isinstance(body, Over)
    first = body.subs[0]
    wanted = takers(first.first.params)
    if body.what == "dag":
        silent = {up for up, how in edges if how == "order only"}
        giving = [up for up, _ in edges if up not in silent and returns[up] != NONE]
        names = [param.name for param in wanted]
        spread = (
            len(wanted) > 1
            and len(giving) == 1
            and all(how in ("", "order only") for _, how in edges)
            and giving[0] not in names
            and is_dict_like(returns[giving[0]])
        )
        if spread:
            wired.risky = True  # what the dict holds is seen when it is there
            wired.sources[label] = {
                "value": ("type" if known(returns[giving[0]]) else "only", (giving[0],))
            }
            return plan_sub(label, first, names, wired)
        got = bind(label, first.first.params, edges, returns, wired)
        wired.sources[label] = {
            name: source for name, source in got.items() if source[0] not in ("input", "default")
        }
        return plan_sub(label, first, list(wired.sources[label]), wired)
    if body.what in ("switch", "map switch"):
        item = CHOICE
    else:
        item = wanted[0].kind if len(wanted) == 1 else ANY
        item = ANY if item == UNKNOWN else item
    if body.what == "switch":
        name, kind = "value", CHOICE
    else:
        one = len(wanted) == 1 and body.what == "map"
        name = wanted[0].name if one else "items"
        kind = either(a_list(item), a_dict(item), ("tuple", item))
    got = bind(label, [Param(name, kind)], edges, returns, wired)
    wired.sources[label] = got
    coming = returns[got[name][1][0]] if got[name][1] else UNKNOWN
    if body.what == "map":
        element = item_of(coming)
        if not wanted:
            raise Wrong(label)
        if len(wanted) > 1 and not is_dict_like(element):
            fitting = [param for param in wanted if fits(element, param.kind)]
            if len(fitting) != 1:
                raise Wrong(label)
            wanted = fitting
        if len(wanted) > 1 or not known(element):
            wired.risky = True
        result = plan_sub(label, first, [param.name for param in wanted], wired)
    else:
        wired.risky = True  # a branch's own type is not asked of what comes
        results = [
            plan_sub(f"{label}/{branch}", sub, [p.name for p in takers(sub.first.params)], wired)
            for branch, sub in zip(BRANCHES, body.subs, strict=False)
        ]
        result = either(*results) if all(map(known, results)) else UNKNOWN
        if result[0] == "union" and len(result[1]) == 1:
            (result,) = result[1]
    if body.what == "switch":
        return result
    result = result if known(result) else ANY
    if coming[0] == "dict":
        return a_dict(result)
    return (
        a_list(result) if coming[0] in ("list", "pair") else either(a_list(result), a_dict(result))
    )


def known(term: Term) -> bool:
    return term not in (ANY, UNKNOWN)


def planned(steps: Steps) -> Wired | str:
    """How the graph is wired, or the label of the node at which it is refused."""
    try:
        return all_wired(steps)
    except Wrong as wrong:
        return str(wrong).partition("/")[0]


def all_wired(steps: Steps) -> Wired:
    wired = Wired()
    returns: dict[str, Term] = {}
    for step in steps:
        edges = [(steps[number].label, how) for number, how in step.ups]
        if isinstance(step.body, Fn):
            got = bind(step.label, step.body.params, edges, returns, wired)
            plan_function(step.label, step.body, got, wired)
            returns[step.label] = step.body.returns
        else:
            returns[step.label] = plan_composite(step, edges, returns, wired)
    return wired


# --- graphs -----------------------------------------------------------------------------------

INT, STR = named("int"), named("str")
KINDS = [
    INT, INT, INT, STR, STR, named("bool"), named("Animal"), named("Dog"), named("UserId"),
    named("Cents"), a_list(INT), a_list(INT), a_dict(INT), a_list(STR), a_list(named("Dog")),
    either(INT, NONE), either(INT, STR), a_pair(INT), a_list(a_pair(STR)), a_list(a_dict(INT)),
    a_list(a_list(INT)), ANY, UNKNOWN,
]  # fmt: skip
kinds = st.sampled_from(KINDS)
params = st.lists(
    st.builds(Param, st.sampled_from("xyz"), kinds, st.sampled_from([False, False, True])),
    max_size=2,
    unique_by=lambda param: param.name,
).map(tuple)
rarely = st.sampled_from([False, False, False, True])
functions = st.builds(Fn, params, st.sampled_from([*KINDS, NONE]), rarely, rarely)
subs = st.builds(Sub, functions, st.none() | functions)


@st.composite
def steps_of(draw: st.DrawFn) -> Steps:
    labels = draw(st.lists(st.sampled_from("abcxyz"), min_size=1, max_size=5, unique=True))
    steps: list[Step] = []
    for number, label in enumerate(labels):
        body: Fn | Over = draw(functions)
        if draw(rarely):
            what = draw(st.sampled_from(["dag", "switch", "map", "map", "map switch"]))
            most = len(BRANCHES) if "switch" in what else 1
            body = Over(what, tuple(draw(st.lists(subs, min_size=1, max_size=most))))
        how = st.sampled_from(["", "", "", "", "order only", "x", "y"])
        ups = ()
        if number:
            before = st.tuples(st.integers(0, number - 1), how)
            ups = tuple(draw(st.lists(before, max_size=3, unique=True)))
        steps.append(Step(label, body, ups))
    return tuple(steps)


Call = tuple[str, dict[str, Any]]
DEFAULT = object()
CLIENT = object()


def function_of(fn: Fn, name: str, path: str, calls: list[Call]) -> Callable[..., Any]:
    """A function of this signature that notes what it gets."""
    value = value_of(fn.returns)

    def call(**arguments: Any) -> Any:
        calls.append((path, arguments))
        return value

    parameters = [
        inspect.Parameter(
            param.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=DEFAULT if param.default else inspect.Parameter.empty,
            annotation=written(param.kind),
        )
        for param in fn.params
    ]
    if fn.resource:
        parameters.append(inspect.Parameter("client", inspect.Parameter.KEYWORD_ONLY))
    if fn.context:
        first = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=DagContext)
        parameters.insert(0, first)
    call.__name__ = name
    signature = inspect.Signature(parameters, return_annotation=written(fn.returns))
    call.__signature__ = signature  # type: ignore[attr-defined]
    call.__annotations__ = {}
    return call


def written(term: Term) -> Any:
    return inspect.Signature.empty if term == UNKNOWN else annotation(term)


def dag_of(sub: Sub, path: str, calls: list[Call]) -> Any:
    first = function_of(sub.first, "first", f"{path}/first", calls)
    if sub.second is None:
        return first
    dag = Dag()
    dag.node(first) >> dag.node(function_of(sub.second, "second", f"{path}/second", calls))
    return dag


def described(steps: Steps) -> tuple[Dag, list[Call]]:
    dag = Dag()
    calls: list[Call] = []
    for step in steps:
        body, label = step.body, step.label
        if isinstance(body, Fn):
            dag.node(function_of(body, label, label, calls), label)
        elif body.what == "dag":
            inner = dag_of(body.subs[0], label, calls)
            if not isinstance(inner, Dag):
                only = Dag()
                only.node(inner)
                inner = only
            dag.node(inner, label)
        elif body.what == "map":
            dag.map(dag_of(body.subs[0], label, calls), label)
        else:
            branches = {
                branch: dag_of(sub, f"{label}/{branch}", calls)
                for branch, sub in zip(BRANCHES, body.subs, strict=False)
            }
            switch = dag.switch(branches, label)
            if body.what == "map switch":
                dag.map(switch)
        for number, how in step.ups:
            param = how if how not in ("", "order only") else None
            dag.edge(steps[number].label, label, param=param, order_only=how == "order only")
    return dag, calls


def resources_of(steps: Steps) -> dict[str, Any]:
    for step in steps:
        bodies = (
            [step.body]
            if isinstance(step.body, Fn)
            else [fn for sub in step.body.subs for fn in (sub.first, sub.second) if fn is not None]
        )
        if any(fn.resource for fn in bodies):
            return {"client": CLIENT}
    return {}


def kind_at(steps: Steps, path: str, param: str) -> Term:
    """The declared type of a parameter that the caller gives."""
    label, *inside = path.split("/")
    body = next(step.body for step in steps if step.label == label)
    if isinstance(body, Over):
        if not inside:
            return (
                CHOICE
                if body.what == "switch"
                else a_list(a_pair(ANY) if body.what == "map switch" else map_item(body))
            )
        sub = body.subs[BRANCHES.index(inside[0]) if len(inside) == 2 else 0]
        body = sub.first if inside[-1] == "first" else sub.second or sub.first
    return next(each.kind for each in body.params if each.name == param)


def map_item(body: Over) -> Term:
    wanted = takers(body.subs[0].first.params)
    return wanted[0].kind if len(wanted) == 1 else a_dict(ANY)


def problems_of(steps: Steps) -> tuple[str, ...]:
    dag, _ = described(steps)
    with pytest.raises(DagError) as caught:
        dag.plan(frozenset(resources_of(steps)))
    return caught.value.problems


@pytest.mark.no_cover  # what others cover, many times over
@settings(max_examples=max(400, settings().max_examples))
@given(steps_of())
def test_random_graphs_are_wired_as_the_model_says(steps: Steps) -> None:
    check(steps)


def check(steps: Steps) -> None:
    wired = planned(steps)
    if isinstance(wired, str):
        event("refused")
        problems = problems_of(steps)
        assert any(wired in problem for problem in problems)
        for problem in problems:
            assert ";" in problem  # what is wrong; what to do
        assert problems == problems_of(steps)
        return
    event("accepted")
    dag, calls = described(steps)
    resources = resources_of(steps)
    plan = dag.plan(frozenset(resources))
    found = {
        path: {b.param: (b.rule, b.upstreams) for b in node.bindings}
        for path, node in plan.paths.items()
    }
    assert found == wired.sources
    inputs = {
        (path, param)
        for path, sources in wired.sources.items()
        for param, source in sources.items()
        if source[0] == "input"
    }
    assert {(path, name) for name, i in plan.inputs().items() for path in i.nodes} == inputs
    given_values: dict[str, dict[str, Any]] = {}
    for path, param in sorted(inputs):
        given_values.setdefault(path, {})[param] = value_of(kind_at(steps, path, param))
    result = DagRunner(dag, resources=resources).run_sync(given_values)
    if result.status == "failed":
        event("failed")
        assert wired.risky, result.error
        assert result.error is not None
        assert result.error.startswith("WiringError"), result.error
        return
    assert result.status == "completed"
    for path, arguments in calls:
        sources = wired.sources[path]
        assert set(arguments) == {name for name, (rule, _) in sources.items() if rule != "default"}
        for name, value in arguments.items():
            rule, ups = sources[name]
            match rule:
                case "context":
                    assert isinstance(value, DagContext)
                case "resource":
                    assert value is CLIENT
                case "input":
                    assert value is given_values[path][name]
                case _ if "/" in path:  # from inside of a node
                    pass
                case "list":
                    assert value == [result.values[up] for up in ups]
                case "dict":
                    assert value == {up: result.values[up] for up in ups}
                case _:
                    assert value is result.values[ups[0]]


@given(steps_of())
def test_each_missing_input_is_told_by_its_name(steps: Steps) -> None:
    dag, calls = described(steps)
    try:
        plan = dag.plan()
    except DagError:
        return
    if plan.inputs():
        with pytest.raises(DagError) as caught:
            DagRunner(dag).run_sync()
        told = "\n".join(caught.value.problems)
        assert all(f"{name!r}" in told for name in plan.inputs())
        assert not calls
