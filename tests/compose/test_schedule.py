"""Which nodes are ready: labels in, labels out."""

from hypothesis import given
from hypothesis import strategies as st

from lythonic_compose.schedule import Schedule

DIAMOND = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c"), "alone": ()}


def test_a_node_starts_when_all_that_it_waits_for_have_completed() -> None:
    schedule = Schedule(DIAMOND)

    assert schedule.ready() == ["a", "alone"]
    assert schedule.completed("a") == ["b", "c"]
    assert schedule.completed("c") == []
    assert schedule.completed("b") == ["d"]


def test_what_is_behind_a_failed_node_never_starts_and_is_told_once() -> None:
    schedule = Schedule(DIAMOND)
    schedule.completed("a")

    assert schedule.failed("b") == ["d"]
    assert schedule.failed("c") == []
    assert schedule.completed("c") == []


def test_a_failing_source_takes_everything_behind_it_along() -> None:
    assert Schedule(DIAMOND).failed("a") == ["b", "c", "d"]


@given(
    st.integers(1, 12).flatmap(
        lambda size: st.tuples(
            st.lists(st.lists(st.integers(0, 11), max_size=4), min_size=size, max_size=size).map(
                lambda rows: {
                    str(at): tuple(dict.fromkeys(str(up) for up in row if up < at))
                    for at, row in enumerate(rows)
                }
            ),
            st.sets(st.integers(0, 11).map(str)),
        )
    )
)
def test_every_node_ends_exactly_once(given_: tuple[dict[str, tuple[str, ...]], set[str]]) -> None:
    upstreams, failing = given_
    schedule = Schedule(upstreams)
    ready, completed, failed, lost = schedule.ready(), [], [], []
    while ready:
        label = ready.pop()
        if label in failing:
            failed.append(label)
            lost += schedule.failed(label)
        else:
            completed.append(label)
            ready += schedule.completed(label)

    assert sorted(completed + failed + lost) == sorted(upstreams)
    for label in lost:
        assert any(up in failed or up in lost for up in upstreams[label])
