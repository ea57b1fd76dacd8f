"""Hashes of code: what changes them, and what does not."""

import functools
import importlib
import json
import linecache
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Any

import pytest

from lythonic_compose.code_hash import ALGORITHM, code_hash

Loaded = Callable[..., ModuleType]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loaded]:
    """Makes a module of each text, in a package of its own, and gives the one called main."""
    monkeypatch.syspath_prepend(tmp_path)
    packages: list[str] = []

    def loaded(main: str, **others: str) -> ModuleType:
        package = f"hashed_{len(packages)}"
        packages.append(package)
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
        for name, text in {**others, "main": main}.items():
            text = dedent(text).replace("PACKAGE", package)
            (tmp_path / package / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        return importlib.import_module(f"{package}.main")

    yield loaded
    for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
        del sys.modules[name]
    linecache.clearcache()


BASE = """
    def step(x: int) -> int:
        return x + 1
"""


@pytest.mark.parametrize(
    "other",
    [
        """
        # a comment
        import os


        def step(
            x: int,
        ) -> int:
            '''It says what it does.'''

            # why
            return (x +
                    1)
        """,
        """
        def other(): pass
        if True:
            def step(x: int) -> int: return x + 1
        """,
    ],
)
def test_how_code_is_written_does_not_count(load: Loaded, other: str) -> None:
    assert code_hash(load(BASE).step) == code_hash(load(other).step)


@pytest.mark.parametrize(
    "other",
    [
        "def step(x: int) -> int: return x + 2",
        "def step(x: int, y: int = 3) -> int: return x + 1",
        "def step(x: float) -> int: return x + 1",
        "async def step(x: int) -> int: return x + 1",
    ],
)
def test_what_code_says_counts(load: Loaded, other: str) -> None:
    assert code_hash(load(BASE).step) != code_hash(load(other).step)


def test_a_hash_names_the_algorithm_and_is_the_same_again(load: Loaded) -> None:
    found = load(BASE).step

    assert code_hash(found).startswith(f"{ALGORITHM}:")
    assert code_hash(found) == code_hash(found)


CALLERS = {
    "a function": "def helper(x): return x + NUMBER\ndef step(x): return helper(x)",
    "a function of a function": """
        def deep(x): return x + NUMBER
        def helper(x): return deep(x)
        def step(x): return helper(x)
    """,
    "a function that is passed on": """
        def helper(x): return x + NUMBER
        def step(xs): return list(map(helper, xs))
    """,
    "functions that call each other": """
        def odd(x): return even(x - NUMBER)
        def even(x): return odd(x)
        def step(x): return even(x)
    """,
    "a method": """
        class Step:
            def helper(self, x): return x + NUMBER
            def run(self, x): return self.helper(x)
        step = Step().run
    """,
    "a class method": """
        class Step:
            @staticmethod
            def helper(x): return x + NUMBER
            @classmethod
            def run(cls, x): return cls.helper(x)
        step = Step.run
    """,
    "a property": """
        class Step:
            @property
            def helper(self): return NUMBER
            def run(self, x): return self.helper + x
        step = Step().run
    """,
    "an inherited method": """
        class Base:
            def helper(self, x): return x + NUMBER
        class Step(Base):
            def run(self, x): return self.helper(x)
        step = Step().run
    """,
    "an object that is called": """
        class Step:
            def __call__(self, x): return x + NUMBER
        step = Step()
    """,
    "an object of the module": """
        class Client:
            def get(self, x): return x + NUMBER
        client = Client()
        def step(x): return client.get(x)
    """,
    "a class": """
        class Step:
            def __init__(self, x): self.x = x + NUMBER
        step = Step
    """,
    "a class that is built": """
        class Made:
            def __init__(self, x): self.x = x + NUMBER
        def step(x): return Made(x)
    """,
    "the base of a class": """
        class Base:
            def __init__(self, x): self.x = x + NUMBER
        class Made(Base): pass
        def step(x): return Made(x)
    """,
    "what a partial calls": """
        import functools
        def helper(y, x): return x + y + NUMBER
        step = functools.partial(helper, 1)
    """,
    "what a partial has bound": """
        import functools
        def helper(y, x): return x + y
        step = functools.partial(helper, y=NUMBER)
    """,
    "what is wrapped": """
        import functools
        @functools.lru_cache
        def step(x): return x + NUMBER
    """,
    "what a wrapped function calls": """
        import functools
        def helper(x): return x + NUMBER
        cached = functools.lru_cache(helper)
        def step(x): return cached(x)
    """,
    "a decorator": """
        import functools
        def more(function):
            @functools.wraps(function)
            def wrapper(x): return function(x) + NUMBER
            return wrapper
        @more
        def step(x): return x
    """,
    "an argument of a decorator": """
        def more(number): return lambda function: function
        @more(NUMBER)
        def step(x): return x
    """,
    "a decorator without wraps": """
        def more(function):
            def wrapper(x): return function(x)
            return wrapper
        @more
        def step(x): return x + NUMBER
    """,
    "a function inside": """
        def step(x):
            def helper(y): return y + NUMBER
            return helper(x)
    """,
    "a function around": """
        def make():
            def helper(y): return y + NUMBER
            def step(x): return helper(x)
            return step
        step = make()
    """,
    "a lambda": "step = lambda x: x + NUMBER",
    "a constant lambda": "step = lambda: NUMBER",
    "a default": "def step(x=NUMBER): return x",
}


@pytest.mark.parametrize("code", CALLERS.values(), ids=CALLERS.keys())
def test_what_is_called_in_the_package_counts(load: Loaded, code: str) -> None:
    one, same, other = (load(code.replace("NUMBER", number)).step for number in ("1", "1", "2"))

    assert code_hash(one).startswith(f"{ALGORITHM}:")
    assert code_hash(one) == code_hash(same)
    assert code_hash(one) != code_hash(other)


@pytest.mark.parametrize(
    "main",
    [
        "from PACKAGE.tools import helper\ndef step(x): return helper(x)",
        "from . import tools\ndef step(x): return tools.helper(x)",
        "import PACKAGE.tools\ndef step(x): return PACKAGE.tools.helper(x)",
    ],
)
def test_another_module_of_the_package_counts(load: Loaded, main: str) -> None:
    # each package has another name, which is told apart where the source says it
    main = main.replace("PACKAGE.tools.helper", "tools_of().helper")
    main += "\nimport sys\ntools = sys.modules[__package__ + '.tools']\n"
    main = main.replace("tools_of()", "tools").replace(
        "import PACKAGE.tools", "from . import tools"
    )
    hashes = [
        code_hash(load(main, tools=f"def helper(x): return x + {number}").step)
        for number in (1, 1, 2)
    ]

    assert hashes[0] == hashes[1] != hashes[2]


def test_other_packages_do_not_count(load: Loaded) -> None:
    library = load("def helper(x): return x + 1")
    main = f"from {library.__name__} import helper\ndef step(x): return helper(x)"
    before = code_hash(load(main).step)
    other = load("def helper(x): return x + 2")
    user = load(main)
    user.helper = other.helper  # type: ignore[attr-defined] # a newer version of the library

    assert code_hash(user.step) == before


def test_two_lambdas_in_a_line_are_told_apart(load: Loaded) -> None:
    found = load("a, b, c = lambda x: x + 1, lambda x: x + 2, lambda x: lambda y: y")

    assert (
        len({code_hash(found.a), code_hash(found.b), code_hash(found.c), code_hash(found.c(1))})
        == 4
    )


def test_methods_that_are_not_called_do_not_count(load: Loaded) -> None:
    code = """
        class Step:
            def run(self, x): return x
            def other(self): return NUMBER
        step = Step().run
    """

    one, other = (load(code.replace("NUMBER", number)).step for number in ("1", "2"))
    assert code_hash(one) == code_hash(other)


def test_a_script_has_the_hashes_of_the_module_that_it_is(load: Loaded) -> None:
    module = load("def helper(x): return x\ndef step(x): return helper(x)")
    script = ModuleType("__main__")
    script.__file__ = module.__file__
    assert module.__file__ is not None
    text = Path(module.__file__).read_text()
    exec(compile(text, module.__file__, "exec"), vars(script))

    assert code_hash(vars(script)["step"]) == code_hash(module.step)


def made_at_run_time() -> Any:
    names: dict[str, Any] = {}
    exec("def step(x): return x", names)
    return names["step"]


class Liar:
    @property
    def __wrapped__(self) -> Any:
        raise LookupError

    def __call__(self) -> None: ...


class Unhashable:
    __hash__ = None  # type: ignore[assignment]

    def __call__(self) -> None: ...


@pytest.mark.parametrize("function", [len, made_at_run_time(), Liar(), int, functools.partial(len)])
def test_without_source_it_is_unknown(function: Any) -> None:
    assert code_hash(function) == "unknown"


def test_an_object_that_cannot_be_hashed_has_its_code_hashed() -> None:
    assert code_hash(Unhashable()).startswith(f"{ALGORITHM}:")


def test_a_file_that_changed_since_gives_no_wrong_hash(load: Loaded) -> None:
    found = load(BASE)
    assert found.__file__ is not None
    Path(found.__file__).write_text("# nothing is left of it")

    assert code_hash(found.step) == "unknown"


def test_a_library_function_can_be_a_step() -> None:
    assert code_hash(json.dumps).startswith(f"{ALGORITHM}:")
