"""What may stand on the command line? typer is imported here and by nobody else.

The options that every command has, and what becomes of errors: a command itself is a function that
knows neither. The commands stand in rooms of their own.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar

import typer
from typer.core import TyperGroup
from typer.main import get_command

from lythonic_state.fields import frozen

from ..dag_runner import Progress, utc_now
from .complaints import complaint
from .times import length_of, moment_of

if TYPE_CHECKING:
    from ..engine import Engine, EngineConfig

DONE, RUN_FAILED, REFUSED = 0, 1, 2
"""Exit codes: it was done, the run did not complete, it could not be done as it was asked for."""
Misuse = typer.BadParameter
"""What a command raises that was not used as it is meant to be."""
INTERRUPTED, NOBODY_READS = 130, 141
"""As shells say of a process that SIGINT or SIGPIPE has ended."""


@frozen(slots=False)
class Asked:
    """Of which engine a command speaks."""

    data: Path | None = None
    config: Path | None = None
    debug: bool = False

    def load(self) -> EngineConfig:
        """The configuration.

        Raises:
            ConfigError: with everything that is wrong with it.
        """
        from ..engine import EngineConfig

        return EngineConfig.load(self.config, self.data)

    def engine(self, progress: Progress | None = None) -> AbstractContextManager[Engine]:
        """The engine, whose parts are made as they are asked for."""
        from ..engine import Engine

        return Engine(self.load(), progress=progress)

    @property
    def data_directory(self) -> Path:
        """Where the engine keeps what it knows, whatever its configuration says."""
        return (self.data or self.top).absolute()

    @property
    def top(self) -> Path:
        """Where the user's modules are."""
        return (self.config.parent if self.config else self.data or Path()).absolute()

    def inside(self, outer: Asked | None) -> Asked:
        """These, and what was said before the command."""
        if outer is None:
            return self
        return Asked(
            self.data or outer.data, self.config or outer.config, self.debug or outer.debug
        )


# --- options --------------------------------------------------------------------------------

_Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="The data directory; else that of the configuration, else the current one.",
    ),
]
_Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The configuration; else DIR/lyth.yaml."),
]
_Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]

T = TypeVar("T")


def _read_by(read: Callable[[str], T]) -> Callable[[str], T]:
    """A reader whose complaints are about the option."""

    @functools.wraps(read)
    def parse(text: str) -> T:
        try:
            return read(text)
        except ValueError as error:
            raise Misuse(str(error)) from error

    return parse


Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]
Quiet: TypeAlias = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
Place: TypeAlias = Annotated[
    str, typer.Argument(metavar="NSREF", help='Where it is registered: "reports:daily".')
]
RunId: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help='The id of a run, or a beginning that is its own, or "last".'
    ),
]
Texts: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        "-i",
        metavar="NODE.PARAM=VALUE",
        help="An input, converted to the parameter's type; lists, dicts and models are given as "
        "JSON. PARAM=VALUE is enough where one node takes it. May be repeated.",
    ),
]
JsonFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--input-json",
        metavar="FILE",
        help='Inputs as a JSON object by node, {"fetch": {"url": "…"}}; - for standard input. '
        "What --input says counts more.",
    ),
]
Moment: TypeAlias = Annotated[
    datetime | None,
    typer.Option(
        parser=_read_by(lambda text: moment_of(text, utc_now())),
        metavar="WHEN",
        help="Only what began since: 2h or 7d ago, 2026-01-31, 2026-01-31T06:00.",
    ),
]
Length: TypeAlias = Annotated[
    Any,
    typer.Option(parser=_read_by(length_of), metavar="AGE", help="A length of time: 12h, 30d, 4w."),
]

Nodes: TypeAlias = Annotated[
    list[str],
    typer.Option("--node", metavar="LABEL", help="A node that runs again. May be repeated."),
]
Downstream: TypeAlias = Annotated[
    bool, typer.Option("--downstream", help="What is behind these nodes runs again, too.")
]
OnChange: TypeAlias = Annotated[
    Literal["raise", "rerun", "keep"],
    typer.Option(
        "--on-change",
        help="If the code of completed nodes has changed: refuse, run them and what is behind "
        "them again, or keep what they returned.",
    ),
]
Status: TypeAlias = Annotated[
    Literal["running", "completed", "failed", "paused", "cancelled", "abandoned"] | None,
    typer.Option(
        "--status", help="Only runs of this status; the process of an abandoned one is gone."
    ),
]
TheDag: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--dag", metavar="NSREF", help='Only runs of this Dag, or of a branch: "reports:".'
    ),
]
Limit: TypeAlias = Annotated[
    int, typer.Option("--limit", "-n", min=1, metavar="N", help="So many at most.")
]
InOut: TypeAlias = Annotated[
    bool, typer.Option("--io", help="Show what went into each node, and what came out.")
]
Follow: TypeAlias = Annotated[
    bool, typer.Option("--follow", "-f", help="Show what happens, until the run has ended.")
]
Everything: TypeAlias = Annotated[
    bool, typer.Option("--all", help="Show all elements of maps, and all errors.")
]
Format: TypeAlias = Annotated[
    Literal["ascii", "mermaid", "dot"], typer.Option("--format", help="How it is drawn.")
]
Directory: TypeAlias = Annotated[
    Path | None,
    typer.Argument(metavar="DIR", help="Where; else the data directory."),
]
KeepLast: TypeAlias = Annotated[
    int | None,
    typer.Option("--keep-last", min=0, metavar="N", help="The newest N runs stay."),
]
DryRun: TypeAlias = Annotated[
    bool, typer.Option("--dry-run", help="Only say what would be removed.")
]
Keys: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(metavar="PARAM=VALUE", help="The entries with these values."),
]
AllEntries: TypeAlias = Annotated[bool, typer.Option("--all", help="All entries.")]
Patience: TypeAlias = Annotated[
    float,
    typer.Option(
        "--timeout", min=0, metavar="SECONDS", help="How long to wait for the engine's end."
    ),
]
TriggerName: TypeAlias = Annotated[
    str, typer.Argument(metavar="TRIGGER", help="The name of a trigger.")
]
OneTrigger: TypeAlias = Annotated[
    str | None, typer.Argument(metavar="TRIGGER", help="Only those of this trigger.")
]


# --- commands -------------------------------------------------------------------------------


ORDER = (
    *("init", "check", "start", "stop", "status", "triggers", "run", "fire", "runs", "show"),
    *("restart", "replay", "recover", "graph", "cache", "prune"),
)
"""As help lists them: first what one needs first."""


class _InOrder(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))


def _group(name: str, text: str) -> typer.Typer:
    return typer.Typer(
        name=name,
        cls=_InOrder,
        help=text,
        add_completion=False,
        no_args_is_help=name == "lyth",
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
    )


LYTH = _group(
    "lyth",
    """Runs Dags by hand and by schedule, and shows what they did.

    Options of lyth itself may stand behind a command, too. Exit codes: 0 done, 1 the run did not
    complete, 2 wrong usage or configuration.""",
)
TRIGGERS = _group("triggers", "Lists the triggers, enables and disables them.")
CACHE = _group("cache", "Lists what is cached, and forgets it.")


Work = TypeVar("Work", bound=Callable[..., int | None])


def command(name: str, group: typer.Typer = LYTH) -> Callable[[Work], Work]:
    """Makes a function a command: it is given what was asked, and gives the exit code.

    Its docstring is the help, and its parameters the arguments and options.
    """

    def register(work: Work) -> Work:
        group.command(name)(_with_common_options(work))
        return work

    return register


def by_itself(group: typer.Typer) -> Callable[[Work], Work]:
    """Makes a function what a group of commands does without a command."""

    def register(work: Work) -> Work:
        group.callback(invoke_without_command=True)(_with_common_options(work))
        return work

    return register


def _nothing(_: Asked) -> None:
    """What `lyth` does besides its commands."""


def _with_common_options(work: Callable[..., int | None]) -> Callable[..., None]:
    @functools.wraps(work)
    def called(context: typer.Context, **given: Any) -> None:
        asked = Asked(given.pop("data"), given.pop("config"), given.pop("debug"))
        context.obj = asked = asked.inside(context.obj)
        if context.invoked_subcommand is None:
            raise typer.Exit(_exit_code(functools.partial(work, asked, **given), asked))

    keyword, first = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    own = list(inspect.signature(work, eval_str=True).parameters.values())[1:]
    parameters = [
        inspect.Parameter("context", first, annotation=typer.Context),
        *(each.replace(kind=keyword) for each in own),
        inspect.Parameter("data", keyword, default=None, annotation=_Data),
        inspect.Parameter("config", keyword, default=None, annotation=_Config),
        inspect.Parameter("debug", keyword, default=False, annotation=_Debug),
    ]
    # what typer reads instead of the function's own
    typed: Any = called
    del typed.__wrapped__
    typed.__signature__ = inspect.Signature(parameters)
    typed.__annotations__ = {each.name: each.annotation for each in parameters}
    return called


def _exit_code(work: Callable[[], int | None], asked: Asked) -> int:
    """What a command comes to: what it says, and 2 for what it raises."""
    try:
        return work() or DONE
    except (typer.Exit, typer.Abort, Misuse):
        raise
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # what is left in its buffer would be complained about at the interpreter's end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOBODY_READS
    except Exception as error:  # noqa: BLE001 - whatever somebody's code raises
        if asked.debug:
            traceback.print_exc()
        complain(complaint(error, asked.top))
        return REFUSED


def complain(text: str) -> None:
    """Says what is wrong, on standard error."""
    typer.echo(f"Error: {text}", err=True)


def warn(text: str) -> None:
    """Says something besides the answer, on standard error."""
    typer.echo(text, err=True)


LYTH.callback()(_with_common_options(_nothing))
LYTH.add_typer(TRIGGERS)
LYTH.add_typer(CACHE)


def carried_out(words: Sequence[str] | None) -> int:
    """Carries out a command line, and gives its exit code."""
    try:
        get_command(LYTH).main(args=words, prog_name="lyth")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else REFUSED
    return DONE
