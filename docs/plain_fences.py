"""A hook of `make docs`: hide from the site what only the tests need to know of a code block."""

import re
from typing import Any

_TEST_WORD = re.compile(r"^(\s*`{3,}python) (?:no-run|postgres)$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    return _TEST_WORD.sub(r"\1", markdown)
