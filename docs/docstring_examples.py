"""An extension of `make docs`: what stands below `Example:` in a docstring is shown as code."""

import re
from typing import Any

import griffe


class DocstringExamples(griffe.Extension):
    """Griffe knows the heading in the plural only, and takes the singular for text."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = re.sub(
                r"^( *)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE
            )
