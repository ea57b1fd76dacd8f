"""Wiring: which output becomes which argument, and what is told when nobody can say."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, NewType

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lythonic_compose import Dag, DagContext, DagError
from lythonic_compose.signature import MISSING

UserId = NewType("UserId", int)


def made(name: str, parameters: dict[str, Any], returns: Any, defaults: dict[str, Any]) -> Any:
    """A function of this signature that returns the arguments it got."""
    required = [each for each in parameters if each not in defaults]
    listed = ", ".join([*required, *(f"{each}=DEFAULTS[{each!r}]" for each in defaults)])
    names = ", ".join(f"{each!r}: {each}" for each in parameters)
    space: dict[str, Any] = {"DEFAULTS": defaults}
    exec(f"def {name}({listed}): return {{{names}}}", space)
    function = space[name]
    annotations = {each: kind for each, kind in parameters.items() if kind is not MISSING}
    if returns is not MISSING:
        annotations["return"] = returns
    function.__annotations__ = annotations
    return function


def wired(ups: dict[str, Any], takes: dict[str, Any], **defaults: Any) -> Dag:
    """Upstreams by label and return type, all wired to one node `end`."""
    dag = Dag()
    end = dag.node(made("end", takes, None, defaults), "end")
    for label, returns in ups.items():
        dag.node(made("up", {}, returns, {}), label) >> end
    return dag


def rules(dag: Dag) -> dict[str, tuple[str, tuple[str, ...]]]:
    return {b.param: (b.rule, b.upstreams) for b in dag.plan().nodes["end"].bindings}


def problems(dag: Dag) -> str:
    with pytest.raises(DagError) as caught:
        dag.validate()
    assert isinstance(caught.value, ValueError)
    assert all(problem in str(caught.value) for problem in caught.value.problems)
    return "\n".join(caught.value.problems)


# --- rule by rule ---------------------------------------------------------------------------


def test_rule_1_an_edge_that_names_the_parameter_comes_before_everything() -> None:
    dag = wired({"x": int, "b": int}, {"x": int, "y": int})
    dag.edge("b", "end", param="x")
    dag.edge("x", "end", param="y")

    # the label "x" would be rule 2 for the parameter x
    assert rules(dag) == {"x": ("edge", ("b",)), "y": ("edge", ("x",))}


def test_rule_1_one_output_may_feed_several_parameters_that_are_named() -> None:
    dag = wired({"a": int}, {"x": int, "y": int})
    dag.edge("a", "end", param="x")
    dag.edge("a", "end", param="y")

    assert rules(dag) == {"x": ("edge", ("a",)), "y": ("edge", ("a",))}


def test_rule_2_a_label_that_is_the_parameters_name_comes_before_types() -> None:
    assert rules(wired({"x": int, "y": int}, {"y": int, "x": int})) == {
        "y": ("label", ("y",)),
        "x": ("label", ("x",)),
    }


def test_rule_2_feeds_a_parameter_with_a_default_too() -> None:
    assert rules(wired({"x": int}, {"x": int}, x=3)) == {"x": ("label", ("x",))}


def test_rule_3_each_type_finds_the_only_parameter_that_it_fits() -> None:
    dag = wired(
        {"a": bool, "b": list[str], "c": UserId, "d": Annotated[int, "d"]},
        {"p": list[str], "q": UserId, "r": Annotated[int, "d"], "s": int | str},
    )

    assert rules(dag) == {
        "p": ("type", ("b",)),
        "q": ("type", ("c",)),
        "r": ("type", ("d",)),
        "s": ("type", ("a",)),
    }


def test_rule_3_leaves_a_parameter_with_a_default_alone() -> None:
    said = problems(wired({"a": int}, {"x": int}, x=3))

    assert "a returns int and feeds no parameter of end" in said
    assert "dag.edge('a', 'end', param='x')" in said
    assert "order_only=True" in said


def test_rule_3_two_outputs_for_one_parameter_are_ambiguous_and_both_are_named() -> None:
    said = problems(wired({"a": int, "b": bool}, {"x": int}))

    assert "end.x: int could come from a and b" in said
    assert "dag.edge('a', 'end', param='x')" in said
    assert "its label: 'x'" in said


def test_rule_3_one_output_for_two_parameters_is_ambiguous_and_both_are_named() -> None:
    assert "a returns int, which fits several parameters of end: x and y" in problems(
        wired({"a": int}, {"x": int, "y": int | None})
    )


def test_rule_4_a_list_collects_in_the_order_of_the_edges() -> None:
    assert rules(wired({"b": int, "a": bool}, {"xs": list[int]})) == {"xs": ("list", ("b", "a"))}


def test_rule_4_a_dict_collects_by_label() -> None:
    assert rules(wired({"b": int, "a": int}, {"xs": dict[str, int]})) == {
        "xs": ("dict", ("b", "a"))
    }


def test_rule_4_collects_for_a_parameter_with_a_default_too() -> None:
    assert rules(wired({"a": int, "b": int}, {"xs": list[int]}, xs=[])) == {
        "xs": ("list", ("a", "b"))
    }


def test_rule_4_a_list_that_is_returned_as_such_is_not_wrapped() -> None:
    assert rules(wired({"a": list[int]}, {"xs": list[int]})) == {"xs": ("type", ("a",))}


def test_rule_4_takes_what_the_rules_before_it_have_left() -> None:
    dag = wired({"x": int, "a": int, "s": str, "b": int}, {"x": int, "t": str, "xs": list[int]})

    assert rules(dag) == {
        "x": ("label", ("x",)),
        "t": ("type", ("s",)),
        "xs": ("list", ("a", "b")),
    }


def test_rule_4_two_collectors_of_one_output_are_ambiguous() -> None:
    assert "several parameters of end collect: xs and ys" in problems(
        wired({"a": int}, {"xs": list[int], "ys": dict[str, int]})
    )


@pytest.mark.parametrize(("returns", "takes"), [(MISSING, int), (int, MISSING), (Any, int)])
def test_rule_5_one_and_one_that_are_left_belong_together_without_annotation(
    returns: Any, takes: Any
) -> None:
    assert rules(wired({"a": returns}, {"x": takes})) == {"x": ("only", ("a",))}


def test_rule_5_says_nothing_where_there_are_two() -> None:
    said = problems(wired({"a": MISSING, "b": MISSING}, {"x": int}))

    assert "a returns (not annotated) and feeds no parameter of end" in said
    assert "b returns (not annotated) and feeds no parameter of end" in said


def test_rule_6_what_no_edge_feeds_is_an_input_or_its_default() -> None:
    dag = wired({"a": int}, {"x": int, "url": str, "n": str}, n="3")

    assert rules(dag) == {"x": ("type", ("a",)), "url": ("input", ()), "n": ("default", ())}
    assert list(dag.inputs()) == ["url"]
    assert dag.inputs()["url"].nodes == ("end",)
    assert dag.inputs()["url"].annotation is str


# --- what feeds nothing ---------------------------------------------------------------------


def order(dag: Dag) -> list[str]:
    return [edge.upstream for edge in dag.plan().edges if edge.rule == "order"]


def test_an_upstream_that_returns_none_only_comes_first() -> None:
    dag = wired({"a": None}, {"x": int})

    assert rules(dag) == {"x": ("input", ())}
    assert order(dag) == ["a"]


def test_an_upstream_only_comes_first_where_no_parameter_is_left() -> None:
    dag = wired({"a": int, "b": str}, {"x": int, "n": float}, n=1.0)

    assert order(dag) == ["b"]


def test_an_edge_may_be_said_to_be_order_only() -> None:
    dag = wired({"a": int}, {"x": int})
    dag.edge("a", "end", order_only=True)

    assert rules(dag) == {"x": ("input", ())}
    assert order(dag) == ["a"]


def test_incompatible_types_on_an_edge_are_told_with_both_types() -> None:
    said = problems(wired({"a": str}, {"x": int}))

    assert "incompatible types on the edge a -> end: a returns str, and end.x takes int" in said
    assert "param=" not in said  # naming the parameter would not help


@pytest.mark.parametrize("by_label", [True, False])
def test_incompatible_types_are_told_on_edges_that_were_chosen_too(by_label: bool) -> None:
    dag = wired({"x" if by_label else "a": str}, {"x": int})
    if not by_label:
        dag.edge("a", "end", param="x")

    assert "returns str, and end.x takes int" in problems(dag)


def test_a_named_edge_may_narrow_and_take_a_new_type_for_its_own() -> None:
    dag = wired({"a": int | None, "b": UserId}, {"x": int, "y": int})
    dag.edge("a", "end", param="x")
    dag.edge("b", "end", param="y")

    assert rules(dag) == {"x": ("edge", ("a",)), "y": ("edge", ("b",))}


# --- other problems -------------------------------------------------------------------------


def test_everything_that_is_wrong_is_told_at_once() -> None:
    dag = Dag()
    one = dag.node(made("one", {"x": int}, int, {}))
    two = dag.node(made("two", {"x": int}, int, {}))
    one >> two >> one
    dag.node(made("text", {}, str, {})) >> dag.node(made("number", {"x": int}, None, {}))
    dag.edge("one", "tow", order_only=True)
    dag.edge("text", "two", param="z")

    with pytest.raises(DagError) as caught:
        dag.validate()
    assert len(caught.value.problems) == 4
    said = str(caught.value)
    assert said.startswith("4 problems:")
    assert "there is a cycle: one -> two -> one" in said
    assert "unknown node 'tow'; did you mean 'two'?" in said
    assert "names the parameter 'z', which two does not take; there are: x" in said
    assert "incompatible types on the edge text -> number" in said


def test_two_edges_to_one_parameter_are_told() -> None:
    dag = wired({"a": int, "b": int}, {"x": int})
    dag.edge("a", "end", param="x")
    dag.edge("b", "end", param="x")

    assert "end.x is fed by two edges, from a and from b" in problems(dag)


def test_an_annotation_that_cannot_be_resolved_is_told() -> None:
    def unclear(x: "Nowhere") -> int:  # type: ignore[name-defined]  # noqa: F821
        raise NotImplementedError

    dag = Dag()
    dag.node(unclear)

    assert "the annotation 'Nowhere' of its parameter 'x' cannot be resolved" in problems(dag)


def test_a_callable_that_hides_its_parameters_is_told_with_the_mend() -> None:
    dag = Dag()
    dag.node(max)

    assert "max does not tell which parameters it takes" in problems(dag)
    assert "wrap it in a function with annotations" in problems(dag)


# --- against a reference --------------------------------------------------------------------

KINDS: list[Any] = [int, str, bool, list[int], dict[str, int], int | None, None, Any, MISSING]
PAIRS_THAT_FIT = {
    (int, int), (str, str), (bool, bool), (bool, int), (list[int], list[int]),
    (dict[str, int], dict[str, int]), (int | None, int | None), (int, int | None),
    (bool, int | None),
}  # fmt: skip
VALUES: dict[Any, Any] = {
    int: 1, str: "s", bool: True, list[int]: [1], dict[str, int]: {"k": 1}, int | None: None,
}  # fmt: skip


def fits(declared: Any, wanted: Any) -> bool:
    if declared in (Any, MISSING) or wanted is MISSING:
        return False
    return wanted is Any or (declared, wanted) in PAIRS_THAT_FIT


@dataclass(frozen=True)
class Case:
    """Upstreams with their types, and parameters with theirs and whether they have a default."""

    ups: tuple[tuple[str, Any], ...]
    params: tuple[tuple[str, Any, bool], ...]


def expected(case: Case) -> "dict[str, tuple[str, ...]] | None":
    """What each parameter gets, by the words of the rules; None where they give an error."""
    ups = dict(case.ups)
    got: dict[str, tuple[str, ...]] = {}
    used: set[str] = set()
    for name, kind, _ in case.params:  # rule 2
        if name in ups:
            if not could_be(ups[name], kind):
                return None
            got[name] = (name,)
            used.add(name)
    free = [up for up in ups if up not in used and ups[up] is not None]
    need = [(name, kind) for name, kind, default in case.params if name not in got and not default]
    fitting = [(up, name) for up in free for name, kind in need if fits(ups[up], kind)]  # rule 3
    for one, other in itertools.combinations(fitting, 2):
        if one[0] == other[0] or one[1] == other[1]:
            return None
    got.update({name: (up,) for up, name in fitting})
    free = [up for up in free if up not in {up for up, _ in fitting}]
    collecting = [  # rule 4
        (name, [up for up in free if fits(ups[up], int)])
        for name, kind, _ in case.params
        if name not in got and kind in (list[int], dict[str, int])
    ]
    if any(found for _, found in collecting):
        if len(collecting) > 1:
            return None
        got[collecting[0][0]] = tuple(collecting[0][1])
        free = [up for up in free if up not in collecting[0][1]]
    left = [(name, kind) for name, kind in need if name not in got]
    if len(free) == 1 and len(left) == 1:  # rule 5
        if ups[free[0]] in (Any, MISSING) or left[0][1] in (Any, MISSING):
            got[left[0][0]] = (free.pop(),)
            left = []
    for up in free:  # what feeds nothing
        defaulted = [kind for name, kind, default in case.params if default and name not in got]
        if left or any(
            ups[up] in (Any, MISSING) or kind in (Any, MISSING) or fits(ups[up], kind)
            for kind in defaulted
        ):
            return None
    return got


def could_be(declared: Any, wanted: Any) -> bool:
    if declared in (Any, MISSING) or wanted in (Any, MISSING):
        return True
    if declared is None:
        return wanted == int | None
    return fits(declared, wanted) or fits(wanted, declared) or {declared, wanted} <= {
        int, bool, int | None
    }  # fmt: skip


labels = st.sampled_from(["a", "b", "c", "x", "y"])
cases = st.builds(
    Case,
    st.lists(
        st.tuples(labels, st.sampled_from(KINDS)),
        min_size=1,
        max_size=4,
        unique_by=lambda up: up[0],
    ).map(tuple),
    st.lists(
        st.tuples(
            st.sampled_from(["x", "y", "z"]),
            st.sampled_from([kind for kind in KINDS if kind is not None]),
            st.booleans(),
        ),
        max_size=3,
        unique_by=lambda param: param[0],
    ).map(tuple),
)


def returning(returns: Any) -> Callable[[], Any]:
    value = VALUES.get(returns, 7)
    if returns is None:
        value = None

    def up() -> Any:
        return value

    up.__annotations__ = {} if returns is MISSING else {"return": returns}
    return up


def described(case: Case) -> Dag:
    dag = Dag()
    parameters = {name: kind for name, kind, _ in case.params}
    defaults = {name: "default" for name, _, default in case.params if default}
    end = dag.node(made("end", parameters, MISSING, defaults), "end")
    for label, returns in case.ups:
        dag.node(returning(returns), label) >> end
    return dag


@example(Case((("a", int), ("b", int)), (("x", list[int], False), ("y", dict[str, int], True))))
@example(Case((("x", bool), ("b", Any)), (("x", int, True), ("y", int, False))))
@pytest.mark.no_cover  # what others cover, many times over
@settings(max_examples=max(400, settings().max_examples))
@given(cases)
def test_random_signatures_are_wired_as_the_rules_say(case: Case) -> None:
    dag = described(case)
    wanted = expected(case)

    if wanted is None:
        with pytest.raises(DagError):
            dag.validate()
        return
    bindings = dag.plan().nodes["end"].bindings
    assert {b.param: b.upstreams for b in bindings if b.upstreams} == wanted


@given(cases)
def test_what_validation_passes_binds(case: Case) -> None:
    dag = described(case)
    try:
        plan = dag.plan()
    except DagError:
        return
    inputs = {name: f"given {name}" for name in dag.inputs()}
    result = dag.run_sync(end=inputs) if inputs else dag.run_sync()

    assert set(plan.nodes) == set(result.node_statuses)
    if result.status == "failed":
        # a value that only its type allowed: None for int | None, or 7 from somewhere unannotated
        assert result.error is not None
        assert result.error.startswith("WiringError")
        assert any(kind in (Any, MISSING, int | None) for _, kind in case.ups)
        return
    values = {label: VALUES.get(kind, None if kind is None else 7) for label, kind in case.ups}
    for binding in plan.nodes["end"].bindings:
        got = result.outputs["end"][binding.param]
        assert got == _expected_value(binding, values, inputs)


def _expected_value(binding: Any, values: dict[str, Any], inputs: dict[str, Any]) -> Any:
    match binding.rule:
        case "input":
            return inputs[binding.param]
        case "default":
            return "default"
        case "list":
            return [values[up] for up in binding.upstreams]
        case "dict":
            return {up: values[up] for up in binding.upstreams}
        case _:
            return values[binding.upstreams[0]]


@pytest.mark.parametrize("kinds", [[int], [int, str], [int, str, int]])
def test_a_chain_is_wired_step_by_step(kinds: list[type]) -> None:
    dag = Dag()
    previous = dag.node(made("n0", {}, kinds[0], {}))
    for number, (takes, gives) in enumerate(itertools.pairwise(kinds), 1):
        node = dag.node(made(f"n{number}", {"value": takes}, gives, {}))
        previous >> node
        previous = node

    assert [node.label for node in dag.topological_order()] == [f"n{n}" for n in range(len(kinds))]


# --- what neither edges nor callers give --------------------------------------------------------


def test_a_context_stands_first_or_is_told() -> None:
    def step(number: int, ctx: DagContext) -> int:
        return number

    dag = Dag()
    dag.node(step)
    assert problems(dag) == (
        "step.ctx: a DagContext is only given to the first parameter; move it there"
    )


def test_an_edge_to_the_context_or_to_a_resource_is_told() -> None:
    def one() -> int:
        return 1

    def step(ctx: DagContext, client: int) -> int:
        return client

    dag = Dag()
    dag.node(one) >> dag.node(step)
    dag.edge(one, step, param="ctx")
    assert "the parameter 'ctx', which gets the context; name another" in problems(dag)
    dag = Dag()
    dag.node(one) >> dag.node(step)
    dag.edge(one, step, param="client")
    dag.validate()
    with pytest.raises(DagError, match="the parameter 'client', which gets the resource; name"):
        dag.plan(frozenset({"client"}))


def test_a_dict_that_is_called_like_a_parameter_of_a_dag_inside_is_not_taken_apart() -> None:
    def options() -> dict[str, int]:
        return {"number": 1}

    def step(options: dict[str, int], number: int) -> int:
        return number

    inner = Dag()
    inner.node(step)
    dag = Dag()
    dag.node(options) >> dag.node(inner, "inner")
    assert dag.run_sync(number=3).outputs == {"inner": 3}
    assert list(dag.inputs()) == ["number"]


def test_a_dict_that_only_comes_first_is_not_taken_apart() -> None:
    def options() -> dict[str, int]:
        return {"one": 1, "two": 2}

    def step(one: int, two: int) -> int:
        return one + two

    inner = Dag()
    inner.node(step)
    dag = Dag()
    dag.node(options) >> dag.node(inner, "inner")
    assert dag.run_sync().outputs == {"inner": 3}
    dag.edge("options", "inner", order_only=True)
    assert list(dag.inputs()) == ["one", "two"]
