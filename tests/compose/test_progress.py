"""What a person sees of runs, in a real terminal and through a real pipe."""

import asyncio
import codecs
import fcntl
import io
import os
import pty
import re
import struct
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TextIO

import pytest

from lythonic_compose import Dag, DagPause, DagProvenance, DagRunner, DagRunResult, Retry
from lythonic_compose.events import Event, NodeExpanded, Place, RunFinished, RunResumed, RunStarted
from lythonic_compose.progress import ProgressDisplay, live_progress
from lythonic_compose.progress.lines import duration

PATIENCE = 20.0
"""Seconds after which what has not been shown never will."""


class Terminal:
    """The screen of a real pseudo-terminal, whatever has been written to it so far."""

    def __init__(self) -> None:
        self._data = ""
        self._changed = threading.Condition()

    def read_from(self, fd: int) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")()
        while True:
            try:
                data = os.read(fd, 65536)
            except OSError:  # the other end is closed
                return
            with self._changed:
                self._data += decoder.decode(data)
                self._changed.notify_all()

    @property
    def data(self) -> str:
        with self._changed:
            return self._data

    def wait_for(self, text: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: text in screen(self._data), PATIENCE), screen(
                self._data
            )


_CODE = re.compile(r"\x1b\[\??([\d;]*)([A-Za-z])|([^\x1b])")


def screen(data: str) -> str:
    """What stands in a terminal after all this was written, scrolled away or not."""
    rows: dict[int, dict[int, str]] = {}
    row = column = 0
    for number, code, char in _CODE.findall(data):
        if code == "A":
            row -= int(number or 1)
        elif code == "K":
            rows[row] = {}
        elif char == "\r":
            column = 0
        elif char == "\n":
            row, column = row + 1, 0
        elif char:
            rows.setdefault(row, {})[column] = char
            column += 1
    return "\n".join(
        "".join(rows[at].get(each, " ") for each in range(max(rows[at], default=-1) + 1)).rstrip()
        for at in sorted(rows)
    ).rstrip()


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch, rows: int = 24) -> Iterator[tuple[TextIO, Terminal]]:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", str(rows))
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 80, 0, 0))
    shown = Terminal()
    reader = threading.Thread(target=shown.read_from, args=(ours,))
    reader.start()
    try:
        with os.fdopen(theirs, "w", encoding="utf-8") as file:
            yield file, shown
    finally:
        reader.join()
        os.close(ours)


async def told_through_a_pipe(run: Callable[[ProgressDisplay], Any]) -> list[str]:
    """The lines that come out of a pipe, without ids and with all times as 0.0 s."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", encoding="utf-8") as file:
        await run(live_progress(file))
    with os.fdopen(reading, encoding="utf-8") as file:
        return plain(file.read())


def plain(text: str) -> list[str]:
    text = re.sub(r"\b(\d+\.\d) s\b", "0.0 s", text)
    return re.sub(r"\b[0-9a-f]{8}:", "ID:", text).splitlines()


def numbers() -> list[int]:
    return [1, 2, 3, 4]


def half(x: int) -> int:
    if x % 2:
        raise ValueError(f"{x} is odd\nand so on")
    return x // 2


def total(xs: list[int]) -> int:
    return sum(xs)


def broken(x: int) -> str:
    raise KeyError("\x1b[2J[red]oops")


def report(text: str) -> str:
    return text


# --- lines ----------------------------------------------------------------------------------


async def test_through_a_pipe_each_step_is_a_line() -> None:
    dag = Dag()
    first = dag.node(numbers)
    first >> dag.map(half, concurrency=1, on_error="skip") >> dag.node(total)
    dag.edge("total", dag.node(broken), param="x")
    dag.edge("broken", dag.node(report), param="text")

    async def run(display: ProgressDisplay) -> None:
        await DagRunner(dag, progress=display).run(dag_nsref="shop:orders")

    assert await told_through_a_pipe(run) == [
        "shop:orders ID: started, 5 nodes",
        "shop:orders ID: numbers: started",
        "shop:orders ID: numbers: done in 0.0 s",
        "shop:orders ID: half: started",
        "shop:orders ID: half: 4 elements",
        "shop:orders ID: half: 1 of 4 elements, 1 failed; ValueError: 1 is odd",
        "shop:orders ID: half: 2 of 4 elements, 1 failed; ValueError: 1 is odd",
        "shop:orders ID: half: 3 of 4 elements, 2 failed; ValueError: 3 is odd",
        "shop:orders ID: half: done in 0.0 s, 2 elements failed",
        "shop:orders ID: total: started",
        "shop:orders ID: total: done in 0.0 s",
        "shop:orders ID: broken: started",
        r"shop:orders ID: broken: failed after 0.0 s: KeyError: '\x1b[2J[red]oops'",
        "shop:orders ID: report: not run",
        "shop:orders ID: failed after 0.0 s: 3 done, 1 failed, 1 not run",
    ]


async def test_a_graph_inside_a_node_is_told_under_its_path_and_retries_are_counted() -> None:
    tries: list[int] = []

    def flaky() -> int:
        tries.append(1)
        if len(tries) == 1:
            raise OSError("net down")
        return 1

    inner = Dag()
    inner.node(flaky, retry=Retry(2, backoff=0.001, jitter=0)) >> inner.node(broken)
    dag = Dag()
    dag.node(inner, "pages")

    async def run(display: ProgressDisplay) -> None:
        await DagRunner(dag, progress=display).run()

    assert await told_through_a_pipe(run) == [
        "run ID: started, 1 node",
        "run ID: pages: started",
        "run ID: pages/flaky: started",
        "run ID: pages/flaky: attempt 1 failed, again in 0.0 s: OSError: net down",
        "run ID: pages/flaky: started, attempt 2",
        "run ID: pages/flaky: done in 0.0 s",
        "run ID: pages/broken: started",
        r"run ID: pages/broken: failed after 0.0 s: KeyError: '\x1b[2J[red]oops'",
        r"run ID: pages: failed after 0.0 s: KeyError: '\x1b[2J[red]oops'",
        "run ID: failed after 0.0 s: 1 failed",
    ]


async def test_what_was_given_cancelled_or_paused_is_told() -> None:
    async def run(display: ProgressDisplay) -> None:
        runner = DagRunner(waiting_dag(), progress=display)
        begun = asyncio.Event()
        task = asyncio.create_task(runner.run({"wait": {"begun": begun}}))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await DagRunner(pausing_dag(), progress=display).run(overrides={"numbers": [2]})

    assert await told_through_a_pipe(run) == [
        "run ID: started, 2 nodes",
        "run ID: wait: started",
        "run ID: wait, report: cancelled",
        "run ID: cancelled after 0.0 s: 2 cancelled",
        "run ID: started, 2 nodes",
        "run ID: numbers: given",
        "run ID: pause: started",
        "run ID: pause: waits for a restart",
        "run ID: paused after 0.0 s: 1 done, 1 waiting",
    ]


def waiting_dag() -> Dag:
    async def wait(begun: asyncio.Event) -> str:
        begun.set()
        await asyncio.Event().wait()
        return ""

    dag = Dag()
    dag.node(wait) >> dag.node(report)
    return dag


def pausing_dag() -> Dag:
    def pause(xs: list[int]) -> int:
        raise DagPause

    dag = Dag()
    dag.node(numbers) >> dag.node(pause)
    return dag


async def test_a_map_of_many_elements_is_ten_lines_and_keeps_none_of_them() -> None:
    async def same(x: int) -> int:
        await asyncio.sleep(0)
        most.append(len(display._board._elements))
        return x

    most: list[int] = []
    dag = Dag()
    dag.node(lambda: list(range(1000)), "many") >> dag.map(same, concurrency=4)
    file = io.StringIO()
    display = ProgressDisplay(file)
    await DagRunner(dag, progress=display).run()

    assert [line for line in plain(file.getvalue()) if " of 1000" in line] == [
        f"run ID: same: {number} of 1000 elements" for number in range(100, 1000, 100)
    ]
    assert max(most) <= 4
    assert not display._board._elements
    assert not display._board.runs


def pair(x: int) -> list[int]:
    return [x, x + 1]


async def test_what_runs_inside_of_an_element_belongs_to_its_map() -> None:
    each = Dag()
    first = each.node(pair)
    first >> each.map(half, concurrency=1, on_error="skip") >> each.node(total)
    dag = Dag()
    dag.node(numbers) >> dag.map(each, "sums", concurrency=1)

    async def run(display: ProgressDisplay) -> None:
        await DagRunner(dag, progress=display).run()
        assert not display._board._elements

    assert [line for line in await told_through_a_pipe(run) if "sums" in line] == [
        "run ID: sums: started",
        "run ID: sums: 4 elements",
        "run ID: sums: 1 of 4 elements",
        "run ID: sums: 2 of 4 elements",
        "run ID: sums: 3 of 4 elements",
        "run ID: sums: done in 0.0 s",
    ]


# --- a terminal -----------------------------------------------------------------------------


async def test_a_terminal_shows_what_is_under_way_and_keeps_how_it_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with terminal(monkeypatch) as (file, shown):
        go_on = threading.Event()

        def slow(x: int) -> int:
            if x > 2:
                assert go_on.wait(PATIENCE)
            return x

        dag = Dag()
        inner = Dag()
        inner.node(broken) >> inner.node(report)
        dag.node(numbers) >> dag.map(slow, concurrency=1) >> dag.node(total)
        dag.node(total, "end") >> dag.node(inner, "sub") >> dag.node(report, "last")
        dag.edge("slow", "end", param="xs")

        async def watch() -> None:
            await asyncio.to_thread(shown.wait_for, "2 of 4 elements")
            assert re.search(
                r"^shop:orders \w{8}  [\d.]+ s  1 done, 1 running, 4 waiting\n"
                r"✓ numbers .* s\n"
                r". slow +━+╸?[━╺ ]* 2 of 4 elements +[\d.]+ s\n"
                r"· total\n· end\n· sub\n· last$",
                screen(shown.data),
                re.MULTILINE,
            ), screen(shown.data)
            go_on.set()

        watching = asyncio.create_task(watch())
        await DagRunner(dag, progress=live_progress(file)).run(dag_nsref="shop:orders")
        await watching

    lines = [re.sub(r" +", " ", line) for line in plain(screen(shown.data))]
    lines = [re.sub(r"orders \w{8}", "orders ID", line) for line in lines]
    assert lines == [
        "shop:orders ID failed 0.0 s 4 done, 1 failed, 1 not run",
        "✓ numbers 0.0 s",
        "✓ slow 4 of 4 elements 0.0 s",
        "✓ total 0.0 s",
        "✓ end 0.0 s",
        r"✗ sub KeyError: '\x1b[2J[red]oops' 0.0 s",
        r"✗ broken KeyError: '\x1b[2J[red]oops' 0.0 s",
        "– report not run",
        "– last not run",
    ]
    assert shown.data.count("\x1b[?25l") == shown.data.count("\x1b[?25h") == 1
    assert shown.data.rindex("\x1b[?25h") > shown.data.rindex("\x1b[?25l")


async def test_a_graph_too_tall_for_the_terminal_shows_what_matters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with terminal(monkeypatch, rows=10) as (file, shown):
        go_on = asyncio.Event()

        async def last() -> None:
            await go_on.wait()

        dag = Dag()
        for number in range(50):
            dag.node(lambda: None, f"n{number}")
        dag.node(broken, "bad")
        dag.node(last)

        async def watch() -> None:
            await asyncio.to_thread(shown.wait_for, "and 45 more")
            now = screen(shown.data)
            assert "✗ bad" in now
            assert re.search(r"^. last", now, re.MULTILINE)
            assert len(now.splitlines()) < 10
            go_on.set()

        watching = asyncio.create_task(watch())
        await DagRunner(dag, progress=live_progress(file)).run({"bad": {"x": 1}})
        await watching

    assert "and 12 more" in screen(shown.data)


async def test_several_runs_share_one_display_and_the_last_gives_the_terminal_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with terminal(monkeypatch) as (file, shown):
        both = asyncio.Event()

        async def meet(name: str) -> str:
            arrived.append(name)
            if len(arrived) == 3:
                both.set()
            await both.wait()
            return name

        arrived: list[str] = []
        dag = Dag()
        dag.node(meet)
        display = live_progress(file)

        async def watch() -> None:
            await asyncio.to_thread(
                lambda: [shown.wait_for(f"shop:{name}") for name in ("one", "two")]
            )
            await DagRunner(dag, progress=display).run({"meet": {"name": "c"}})

        await asyncio.gather(
            DagRunner(dag, progress=display).run({"meet": {"name": "a"}}, "shop:one"),
            DagRunner(dag, progress=display).run({"meet": {"name": "b"}}, "shop:two"),
            watch(),
        )
        assert display._live is not None
        assert display._live._live is None
        await DagRunner(dag, progress=display).run({"meet": {"name": "d"}}, "shop:again")

    assert len(re.findall(r"^\S+ \w{8} completed  ", screen(shown.data), re.MULTILINE)) == 4
    assert shown.data.count("\x1b[?25l") == shown.data.count("\x1b[?25h") == 2


async def test_a_terminal_without_unicode_is_shown_signs_that_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with terminal(monkeypatch) as (file, shown):
        ascii_file = io.TextIOWrapper(file.buffer, encoding="ascii", write_through=True)
        with pytest.raises(OSError, match="disk full"):
            await DagRunner(one_dag(), FullDisk(), progress=live_progress(ascii_file)).run()
        display = live_progress(ascii_file)
        await DagRunner(mapped_dag(), progress=display).run()
        ascii_file.flush()
        ascii_file.detach()

    now = [re.sub(r" +", " ", line) for line in plain(screen(shown.data))]
    assert [re.sub(r"^run \w+", "run ID", line) for line in now] == [
        "run ID failed 0.0 s 1 running OSError: disk full",
        "- numbers 0.0 s",
        "run ID failed 0.0 s 1 done, 1 failed, 1 not run",
        "+ numbers 0.0 s",
        "x half ValueError: 1 is odd 0.0 s",
        "- total not run",
    ]


async def test_a_node_that_is_to_be_tried_again_says_when(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with terminal(monkeypatch) as (file, shown):
        go_on = threading.Event()
        tries: list[int] = []

        def flaky() -> None:
            tries.append(1)
            if len(tries) == 1:
                raise OSError("net [red]down[/red]")
            assert go_on.wait(PATIENCE)

        dag = Dag()
        dag.node(flaky, retry=Retry(2, backoff=0.3, jitter=0))

        async def watch() -> None:
            await asyncio.to_thread(shown.wait_for, "attempt 1 failed, again in 0.")
            assert "OSError: net [red]down[/red]" in screen(shown.data)
            await asyncio.to_thread(shown.wait_for, "attempt 2")
            go_on.set()

        watching = asyncio.create_task(watch())
        result = await DagRunner(dag, progress=live_progress(file)).run()
        await watching

    assert result.status == "completed"


async def test_a_display_may_be_closed_before_its_runs_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with terminal(monkeypatch) as (file, shown), live_progress(file) as display:
        display(started())
        display.close()
        assert shown is not None
        display.close()
    assert shown.data.count("\x1b[?25l") == shown.data.count("\x1b[?25h") == 1


@pytest.mark.parametrize("why", ["rich is missing", "TERM is dumb", "it is asked for"])
async def test_a_terminal_gets_lines_where_nothing_can_move(
    why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with terminal(monkeypatch) as (file, shown):
        if why == "rich is missing":
            for name in [name for name in sys.modules if name.partition(".")[0] == "rich"]:
                monkeypatch.delitem(sys.modules, name)
            monkeypatch.setitem(sys.modules, "rich", None)
            monkeypatch.delitem(sys.modules, "lythonic_compose.progress.live", raising=False)
        if why == "TERM is dumb":
            monkeypatch.setenv("TERM", "dumb")
        display = live_progress(file, live=why != "it is asked for")
        await DagRunner(one_dag(), progress=display).run()
        file.flush()

    assert "\x1b" not in shown.data
    assert plain(shown.data) == [
        "run ID: started, 1 node",
        "run ID: numbers: started",
        "run ID: numbers: done in 0.0 s",
        "run ID: completed after 0.0 s: 1 done",
    ]


def one_dag() -> Dag:
    dag = Dag()
    dag.node(numbers)
    return dag


# --- whatever happens -----------------------------------------------------------------------


async def test_an_output_that_is_gone_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    file = os.fdopen(writing, "w", encoding="utf-8")
    result = await DagRunner(one_dag(), progress=live_progress(file)).run()
    with pytest.raises(BrokenPipeError):
        file.close()
    again = await DagRunner(one_dag(), progress=live_progress(file)).run()

    assert (result.status, again.status) == ("completed", "completed")
    assert caplog.records == []


async def test_a_terminal_that_is_gone_harms_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with terminal(monkeypatch) as (file, _):

        def leave() -> int:
            file.close()
            return 1

        dag = Dag()
        dag.node(leave) >> dag.node(half)
        dag.node(numbers)
        result = await DagRunner(dag, progress=live_progress(file)).run()

    assert result.failed_node == "half"
    assert caplog.records == []


async def test_a_program_without_standard_error_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    result = await DagRunner(one_dag(), progress=live_progress()).run()
    assert result.status == "completed"


async def test_what_an_output_cannot_encode_is_escaped() -> None:
    data = io.BytesIO()
    file = io.TextIOWrapper(data, encoding="ascii")
    dag = Dag()
    dag.node(numbers, "データ\n")
    await DagRunner(dag, progress=live_progress(file)).run()

    assert rb"\u30c7\u30fc\u30bf\n: started" in data.getvalue()


class FullDisk:
    """A listener that can keep nothing but the beginning of a run and of its first node."""

    blocking = False

    def emit(self, *events: Event) -> None:
        if not isinstance(events[0], RunStarted):
            raise OSError("disk full")

    def try_emit(self, *events: Event) -> bool:
        self.emit(*events)
        return True


async def test_a_run_whose_recording_breaks_off_is_shown_as_failed() -> None:
    file = io.StringIO()
    display = live_progress(file)
    with pytest.raises(OSError, match="disk full"):
        await DagRunner(one_dag(), FullDisk(), progress=display).run()

    assert plain(file.getvalue())[-1].endswith(
        "failed after 0.0 s: 1 running; OSError: disk full"
    ), file.getvalue()
    assert not display._board.runs


# --- runs that go on ------------------------------------------------------------------------

AT = datetime(2026, 1, 1, tzinfo=UTC)


def mapped_dag() -> Dag:
    dag = Dag()
    dag.node(numbers) >> dag.map(half) >> dag.node(total)
    return dag


def started() -> RunStarted:
    return RunStarted("11111111-1", AT, one_dag().plan(), {})


def test_a_run_that_goes_on_counts_what_had_been_done_before() -> None:
    plan = mapped_dag().plan()
    (_, sub), *_ = plan.nodes["half"].inside()
    file = io.StringIO()
    display = live_progress(file)
    display(RunResumed("11111111-1", AT, plan, "shop:orders", done=("numbers",)))
    keys = tuple(str(number) for number in range(10))
    display(NodeExpanded("11111111-1", AT, plan.nodes["half"], keys))
    for number in (3, 7):  # all others had completed
        place = Place("11111111-1", "half", str(number))
        display(RunResumed(f"child-{number}", AT, sub.plan, place=place))
        display(RunFinished(f"child-{number}", AT, sub.plan, "completed"))

    assert plain(file.getvalue()) == [
        "shop:orders ID: goes on, 1 of 3 nodes done",
        "shop:orders ID: half: 10 elements",
        "shop:orders ID: half: 4 of 10 elements",
        "shop:orders ID: half: 8 of 10 elements",
    ]


async def test_a_run_that_is_restarted_begins_where_it_was() -> None:
    broken_at: list[int] = [3]

    def same(x: int) -> int:
        if x in broken_at:
            raise ValueError(x)
        return x

    dag = Dag()
    dag.node(numbers) >> dag.map(same, concurrency=1) >> dag.node(total)
    file = io.StringIO()
    with DagProvenance("sqlite://") as provenance:
        runner = DagRunner(dag, provenance, progress=live_progress(file))
        result = await runner.run()
        broken_at.clear()
        file.truncate(0)
        file.seek(0)
        await runner.restart(result.run_id)

    assert plain(file.getvalue()) == [
        "run ID: goes on, 1 of 3 nodes done",
        "run ID: same: started, attempt 2",
        "run ID: same: 4 elements",
        "run ID: same: 3 of 4 elements",
        "run ID: same: done in 0.0 s",
        "run ID: total: started",
        "run ID: total: done in 0.0 s",
        "run ID: completed after 0.0 s: 3 done",
    ]


def test_a_run_that_ends_takes_what_was_inside_it_along() -> None:
    plan = mapped_dag().plan()
    (_, sub), *_ = plan.nodes["half"].inside()
    display = live_progress(io.StringIO())
    display(RunStarted("11111111-1", AT, plan, {}))
    display(NodeExpanded("11111111-1", AT, plan.nodes["half"], ("0",)))
    display(RunStarted("2", AT, sub.plan, {}, place=Place("11111111-1", "half", "0")))
    display(RunStarted("3", AT, sub.plan, {}, place=Place("11111111-1", "total")))
    display(RunFinished("11111111-1", AT, plan, "cancelled"))

    assert (display._board.runs, display._board._elements) == ({}, {})


def test_what_is_told_of_a_run_that_has_ended_is_not_shown() -> None:
    plan = one_dag().plan()
    file = io.StringIO()
    display = live_progress(file)
    display(started())
    display(RunFinished("11111111-1", AT, plan, "cancelled"))
    before = file.getvalue()
    display(NodeExpanded("11111111-1", AT, plan.nodes["numbers"], ("0",)))
    display(RunFinished("11111111-1", AT, plan, "completed"))
    display(RunStarted("2", AT, plan, {}, place=Place("11111111-1", "numbers", "0")))
    display(RunFinished("2", AT, plan, "completed"))

    assert file.getvalue() == before


async def test_every_run_of_many_ends_in_one_line() -> None:
    file = io.StringIO()
    display = live_progress(file)
    results: list[DagRunResult] = await asyncio.gather(
        *(DagRunner(mapped_dag(), progress=display).run() for _ in range(8))
    )
    ends = [line for line in file.getvalue().splitlines() if ": failed after" in line]

    assert {result.status for result in results} == {"failed"}
    assert {result.run_id[:8] for result in results} == {
        re.sub(r"^run (\w{8}):.*", r"\1", line) for line in ends
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (30.4, "30 s"),
        (59.6, "1:00"),
        (3600, "1:00:00"),
    ],
)
def test_a_duration_is_written_as_people_say_it(seconds: float, text: str) -> None:
    assert duration(seconds) == text
