"""What does a YAML file say, and on which line? The only room that knows YAML.

Values with their places, and everything that is wrong with the text itself: what they mean is not
known here. `${VAR}` in a value is a variable of the environment, `${VAR:-text}` one with a default,
and `$${VAR}` stands for itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, TypeAlias

from lythonic_state.fields import frozen

from ..errors import ConfigError

Place: TypeAlias = tuple[str | int, ...]
"""Where a value stands: keys and numbers from the top, such as `("namespace", 0, "gref")`."""


@frozen(slots=False)
class Problem:
    """Something wrong at a place of a file."""

    place: Place
    line: int
    what: str


@frozen(slots=False)
class Document:
    """A file that was read: its value, and where each part of it stands.

    `problems` are duplicate keys and variables that are not set. The value is there all the same:
    of keys of one name it has the last, and nothing for a variable.
    """

    name: str
    """The file, as people are told of it."""
    value: Any
    problems: tuple[Problem, ...] = ()
    from_environment: frozenset[Place] = frozenset()
    """Where variables stand, so that nobody is shown what the value is."""
    _root: Any = field(default=None, repr=False)

    def line(self, place: Place) -> int:
        """The line of a place, or of the nearest one around it."""
        node, line = self._root, 1
        for part in place:
            found = _child(node, part)
            if found is None:
                break
            line, node = found
        return line

    def told(self, place: Place, what: str) -> str:
        """A problem of a place in words: "lyth.yaml:12: namespace[0].gref: …"."""
        return f"{self.name}:{self.line(place)}: {introduced(place)}{what}"


def shown(place: Place) -> str:
    """A place in words.

    Example:
        >>> shown(("namespace", 0, "gref"))
        'namespace[0].gref'
    """
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def introduced(place: Place) -> str:
    """The same before what is said of it; the whole file needs no word."""
    return f"{shown(place)}: " if place else ""


def read_yaml(file: Path, name: str, environment: Mapping[str, str]) -> Document:
    """Reads a file; an empty one says nothing, which is None.

    Example:
        >>> read_yaml(Path("lyth.yaml"), "lyth.yaml", os.environ).value
        {'namespace': [{'nsref': 'reports:daily', 'gref': 'myapp.pipelines:daily__'}]}

    Raises:
        ConfigError: it cannot be read, or is no YAML; the message has file and line.
    """
    yaml = _yaml()
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{name} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{name}:{line}: this is no UTF-8; save the file as UTF-8") from error
    try:
        loader = yaml.SafeLoader(text)
    except yaml.YAMLError as error:
        raise _no_yaml(name, error, text) from error
    try:
        root = loader.get_single_node()
        if root is None:
            return Document(name, None)
        preparing = _Preparing(yaml, loader, name, environment)
        preparing.walk(root)
        value, variables = loader.construct_document(root), frozenset(preparing.variables)
        return Document(name, value, tuple(preparing.problems), variables, root)
    except yaml.YAMLError as error:
        raise _no_yaml(name, error, text) from error
    except RecursionError as error:
        raise ConfigError(f"{name}: this is nested too deeply") from error
    finally:
        loader.dispose()


def _yaml() -> Any:
    try:
        import yaml
    except ImportError as error:
        raise ConfigError(
            "reading lyth.yaml needs PyYAML; install it: pip install 'lythonic-state[engine]'"
        ) from error
    return yaml


def _no_yaml(name: str, error: Any, text: str) -> ConfigError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    context = getattr(error, "context", None)
    if mark is None:
        at = getattr(error, "position", None)
        where = f":{text.count(chr(10), 0, at) + 1}" if isinstance(at, int) else ""
    else:
        where = f":{mark.line + 1}"
        line = text.splitlines()[mark.line].strip() if mark.line < len(text.splitlines()) else ""
        context = f"{context}; " if context else ""
        problem = f"{context}{problem} (column {mark.column + 1}{f': {line}' if line else ''})"
    return ConfigError(f"{name}{where}: this is no YAML: {problem}{_mend(problem)}")


def _mend(problem: str) -> str:
    if r"'\t'" in problem:
        return "; YAML is indented with spaces, not with tabs"
    if "mapping values are not allowed" in problem:
        return "; put a text with a colon in it in quotes"
    if "scanning an alias" in problem or "cannot start any token" in problem:
        return "; put a text that begins with * or @, as schedules do, in quotes"
    if "could not determine a constructor" in problem:
        return "; tags with ! are not understood here"
    return ""


class _Preparing:
    """Puts variables into the nodes of a text, and notes what is wrong with it."""

    def __init__(self, yaml: Any, loader: Any, name: str, environment: Mapping[str, str]) -> None:
        self.problems: list[Problem] = []
        self.variables: set[Place] = set()
        self._yaml = yaml
        self._loader = loader
        self._name = name
        self._environment = environment
        self._seen: set[int] = set()

    def walk(self, node: Any, place: Place = (), above: tuple[Any, ...] = ()) -> None:
        line = node.start_mark.line + 1
        if any(node is other for other in above):
            raise ConfigError(
                f"{self._name}:{line}: {shown(place)}: an alias stands inside of what it names"
            )
        if id(node) in self._seen:  # it has several names
            return
        self._seen.add(id(node))
        children: list[tuple[str | int, Any]] = []
        if isinstance(node, self._yaml.MappingNode):
            self._check_keys(node, place)
            children += [(str(key.value), value) for key, value in node.value]
        elif isinstance(node, self._yaml.SequenceNode):
            children += enumerate(node.value)
        elif node.tag == _TEXT:
            node.value = self._with_variables(node.value, place, line)
        else:
            self._check_value(node, place)
        for part, child in children:
            self.walk(child, (*place, part), (*above, node))

    def _check_keys(self, node: Any, place: Place) -> None:
        known: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            line, text = key.start_mark.line + 1, str(key.value)
            if (key.tag, text) in known:
                why = f"the key stands in line {known[key.tag, text]} already; keep one of the two"
                self.problems.append(Problem((*place, text), line, why))
            known[key.tag, text] = line
            self._check_value(key, place)

    def _check_value(self, node: Any, place: Place) -> None:
        if not isinstance(node, self._yaml.ScalarNode) or node.tag == _MERGE:
            return
        try:
            self._loader.construct_object(node)
        except (ValueError, KeyError, AttributeError) as error:  # !!int x, or a date: 2026-02-30
            kind = node.tag.rpartition(":")[2]
            raise ConfigError(
                f"{self._name}:{node.start_mark.line + 1}: {introduced(place)}{node.value!r} is no "
                f"{kind}; put it in quotes if it is a text"
            ) from error

    def _with_variables(self, text: str, place: Place, line: int) -> str:
        def value(found: re.Match[str]) -> str:
            if found["itself"]:
                return found[0][1:]
            name, default = found["name"], found["default"]
            self.variables.add(place)
            if name in self._environment:
                return self._environment[name]
            if default is None:
                why = f"the environment has no {name}; set it, or give a default: ${{{name}:-…}}"
                self.problems.append(Problem(place, line, why))
            return default or ""

        return _VARIABLE.sub(value, text)


_TEXT, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
_VARIABLE = re.compile(
    r"(?P<itself>\$)?\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}"
)


def _child(node: Any, part: str | int) -> tuple[int, Any] | None:
    """The line and the node of one part of a node; the last of several that have the key."""
    if node is None or isinstance(node.value, str):
        return None
    for number, each in reversed(list(enumerate(node.value))):
        key, value = each if isinstance(each, tuple) else (None, each)
        if (number if key is None else key.value) == (part if key is None else str(part)):
            return (value if key is None else key).start_mark.line + 1, value
    return None
