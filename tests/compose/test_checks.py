"""The order of nodes, and the cycles that forbid one."""

from hypothesis import given
from hypothesis import strategies as st

from lythonic_compose.checks import cycles, ordered

SIX = [f"n{number}" for number in range(6)]
graphs = st.dictionaries(
    st.sampled_from(SIX), st.lists(st.sampled_from(SIX), max_size=3, unique=True)
).map(lambda ups: {label: tuple(ups.get(label, ())) for label in SIX})


def test_each_node_stands_after_its_upstreams_and_otherwise_as_described() -> None:
    upstreams = {"d": ("b", "c"), "a": (), "c": ("a",), "b": ("a",), "alone": ()}

    assert ordered(upstreams) == (["a", "c", "b", "d", "alone"], [])


def test_a_cycle_is_named_in_its_order_from_the_first_described_on() -> None:
    assert cycles({"a": ("c",), "b": ("a",), "c": ("b",), "behind": ("c",)}) == [["a", "b", "c"]]
    assert cycles({"a": ("a",)}) == [["a"]]


def test_each_knot_is_told() -> None:
    two = {"a": ("b",), "b": ("a",), "c": ("d", "a"), "d": ("c",)}

    assert cycles(two) == [["a", "b"], ["c", "d"]]


@given(graphs)
def test_an_order_and_the_cycles_explain_all_nodes(upstreams: dict[str, tuple[str, ...]]) -> None:
    order, stuck = ordered(upstreams)
    found = cycles(upstreams)

    assert sorted(order + stuck) == sorted(upstreams)
    for place, label in enumerate(order):
        assert set(upstreams[label]) <= set(order[:place])
    assert bool(found) == bool(stuck)
    for cycle in found:
        for up, down in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            assert up in upstreams[down]
