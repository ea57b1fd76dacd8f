"""How does a value become text, and does it come back exactly?

Values go through the type that a function declares. What cannot be serialised is kept as its repr,
to be looked at. Nothing is stored here, and no pickle is made.
"""

from __future__ import annotations

import collections
import dataclasses
import decimal
import functools
import json
import logging
import math
from collections.abc import Iterator, Mapping
from datetime import datetime, time
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import SchemaSerializer, SchemaValidator, to_json

from .errors import WiringError
from .exactness import PLAIN, Surely, surely
from .fit import adapter_of, is_known, short, shown
from .outputs.rows import Rows
from .type_names import class_name, is_union, named_type, type_name

LOG = logging.getLogger("lythonic_compose")

SHOWN_CHARACTERS = 10_000
"""How much is kept of the repr of what cannot be serialised."""


class Encoded(NamedTuple):
    """A value as JSON text; where it is not `restorable`, the text is only there to be read."""

    text: str
    restorable: bool
    type_name: str
    """The type that brings it back, as "module:qualname", or the value's own class."""


def encode(value: Any, annotation: Any, what: str = "") -> Encoded:
    """A value as text through its declared type. It raises for no value.

    Whether it comes back exactly is seen from the type where that is certain, else tried. `what` it
    is stands in the warning about what cannot be serialised.

    Example:
        >>> encode({date(2026, 1, 31): 1.5}, dict[date, float]).text
        '{"2026-01-31":1.5}'
    """
    kind = type(value)
    if kind is Rows:  # whatever they are declared as, they are not read for that
        annotation = Rows
    try:
        codec = _by_identity.get(id(annotation)) or _codec_of(annotation)
        name = codec.sure.get(kind)
        if name is not None:
            text = codec.short_text(value)
        else:
            text, name = codec.exact_text(value), codec.name_for(kind)
    except Exception:  # noqa: BLE001 - a serialiser or a validator may be the user's
        text = name = None
    if text is None or name is None:
        return Encoded(_readable(value, what), False, class_name(kind))
    return Encoded(text, True, name)


def exact_text(value: Any, annotation: Any) -> str | None:
    """The text from which `decode` makes exactly this value; None if there is none."""
    try:
        return _codec_of(annotation).exact_text(value)
    except Exception:  # noqa: BLE001 - a serialiser or a validator may be the user's
        return None


def decode(text: str, annotation: Any) -> Any:
    """The value that `encode` made text of, through the same annotation.

    Example:
        >>> decode('{"2026-01-31":1.5}', dict[date, float])
        {datetime.date(2026, 1, 31): 1.5}

    Raises:
        WiringError: the text is no value of that type (any more).
    """
    try:
        return (_by_identity.get(id(annotation)) or _codec_of(annotation)).value(text)
    except Exception as error:  # a validator may be the user's
        raise WiringError(
            f"what was recorded cannot be read back as {shown(annotation)}: {error}"
        ) from error


def decode_named(encoded: Encoded) -> Any:
    """The value of a recorded text; plain JSON values where its type is not known (any more).

    The modules of its type are imported if they are not yet.
    """
    if encoded.restorable:
        try:
            return decode(encoded.text, named_type(encoded.type_name))
        except (LookupError, WiringError):
            pass
    return json.loads(encoded.text)


def json_default(obj: Any) -> Any:
    """Models, dates and whatever else pydantic can serialise, for `json.dumps(default=…)`.

    Anything else is its repr, with a warning.

    Example:
        >>> json.dumps({"day": date(2026, 1, 31)}, default=json_default)
        '{"day": "2026-01-31"}'
    """
    return json.loads(_readable(obj, "an object"))


def safe_json_dumps(obj: Any) -> str:
    """Any value as JSON text; what cannot be serialised is its repr, with a warning.

    Example:
        >>> safe_json_dumps({"day": date(2026, 1, 31)})
        '{"day":"2026-01-31"}'
    """
    return _readable(obj, "a value")


def storable(text: str) -> str:
    """Text without what a database cannot hold: NUL, and halves of surrogate pairs."""
    if "\0" in text:
        text = text.replace("\0", "\\0")
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


# --- codecs ---------------------------------------------------------------------------------

_EXACTLY: Mapping[str, Any] = {
    "ser_json_inf_nan": "constants",
    "ser_json_bytes": "base64",
    "val_json_bytes": "base64",
}


class _Codec:
    """Text and values of one type. Each class's own settings give way to ours, at any depth."""

    def __init__(self, annotation: Any) -> None:
        declared = annotation if is_known(annotation) else Any
        self.annotation = annotation
        self.sure: dict[type, str] = {}
        """Classes of which all values come back, with the name of the type that does it."""
        self._only_plain = declared is Any
        self._name = None if self._only_plain else type_name(declared)
        self._members = _named_members(declared)
        self._surely: Surely | None = None
        self._text: SchemaSerializer | None = None
        adapter = adapter_of(declared)
        if adapter is not None:
            schema = _with_settings(adapter.core_schema)
            self._text, self._back, settled = _compiled(schema)
            self._surely = surely(schema) if settled else None
        if self._surely is not None:
            classes = PLAIN if self._only_plain else self._surely.classes or ()
            self.sure = {kind: self.name_for(kind) for kind in classes}

    def short_text(self, value: Any) -> str | None:
        """The text of a value of one of the classes that are sure."""
        assert self._text is not None
        text = self._text.to_json(value)
        return text.decode() if len(text) <= LONGEST_NUMBER else self.exact_text(value)

    def exact_text(self, value: Any) -> str | None:
        """The text from which a value comes back exactly; None where it does not."""
        if self._text is None:
            return None
        if self._surely is not None and self._surely(value):
            text = self._text.to_json(value, by_alias=False)
            if not _may_be_unreadable(text):
                return text.decode()
        elif self._only_plain or _has_iterator(value):
            return None
        else:
            text = self._text.to_json(value, by_alias=False, warnings=False)
        return text.decode() if _same(self.value(text.decode()), value) else None

    def name_for(self, kind: type) -> str:
        """Of the type that brings a value of a class back: the declared one, or its member in a
        union."""
        return self._members.get(kind) or self._name or class_name(kind)

    def value(self, text: str) -> Any:
        if self._text is None:
            raise TypeError("pydantic cannot read this type")
        return self._back.validate_json(text, by_alias=False, by_name=True)


def _named_members(annotation: Any) -> dict[type, str]:
    """The classes of a union with their types' names, where a class has only one."""
    members = get_args(annotation) if is_union(annotation) else ()
    names: dict[type, list[str | None]] = {}
    for member in members:
        names.setdefault(get_origin(member) or member, []).append(type_name(member))
    return {kind: only[0] for kind, only in names.items() if len(only) == 1 and only[0]}


# the hash of a union costs more than the text of a number; a codec keeps its annotation, so that
# no other object gets its id
_by_identity: dict[int, _Codec] = {}


def _codec_of(annotation: Any) -> _Codec:
    try:
        codec = _cached_codec(annotation)
    except TypeError:  # an annotation that cannot be hashed
        codec = _Codec(annotation)
    if codec.annotation is annotation:
        if len(_by_identity) >= 1024:
            _by_identity.clear()
        _by_identity[id(annotation)] = codec
    return codec


_cached_codec = functools.lru_cache(maxsize=1024)(_Codec)


def _compiled(schema: Any) -> tuple[SchemaSerializer, SchemaValidator, bool]:
    """The schema's serialiser and validator, and whether they keep to the schema's settings.

    pydantic-core takes what a class has compiled already, with the class's own settings. What
    tells it not to is not in its documentation; without it, values are tried.
    """
    settings: Any = _EXACTLY
    try:
        return (
            SchemaSerializer(schema, settings, _use_prebuilt=False),
            SchemaValidator(schema, settings, _use_prebuilt=False),
            True,
        )
    except TypeError:
        return SchemaSerializer(schema, settings), SchemaValidator(schema, settings), False


_NO_SCHEMAS = {"cls", "default", "expected", "members", "metadata", "config"}
_HAVE_SETTINGS = {"model", "dataclass", "typed-dict"}


def _with_settings(schema: Any) -> Any:
    """A schema whose classes serialise exactly, and nothing that can be computed again."""
    if isinstance(schema, dict):
        known: dict[str, Any] = schema
        found = {
            name: part if name in _NO_SCHEMAS else _with_settings(part)
            for name, part in known.items()
            if name != "computed_fields"
        }
        if known.get("type") in _HAVE_SETTINGS:
            found["config"] = {**known.get("config", {}), **_EXACTLY}
        elif known.get("type") == "decimal":
            found.setdefault("allow_inf_nan", True)
        return found
    if isinstance(schema, list):
        return [_with_settings(part) for part in schema]
    if isinstance(schema, tuple):
        return tuple(map(_with_settings, schema))
    return schema


# --- text to be read ------------------------------------------------------------------------


def _readable(value: Any, what: str) -> str:
    """JSON with what cannot be serialised as its repr, and a warning if there was any."""
    strange: list[Any] = []

    def shown_as(part: Any) -> str:
        strange.append(part)
        return storable(short(part, SHOWN_CHARACTERS))

    text = None
    try:
        if not _has_iterator(value):
            text = to_json(
                value,
                by_alias=False,
                inf_nan_mode="constants",
                bytes_mode="base64",
                fallback=shown_as,
            )
    except Exception:  # noqa: BLE001 - a serialiser may be the user's; the value is its repr
        strange.clear()
    if text is None or (_may_be_unreadable(text) and not _is_readable(text)):
        text = json.dumps(shown_as(value)).encode()
    if strange:
        LOG.warning(
            "%s cannot be serialised and is kept as its repr: %s",
            what or "a value",
            storable(short(strange[0])),
        )
    return text.decode()


LONGEST_NUMBER = 4300
"""Digits; Python and pydantic refuse to read more."""


def _may_be_unreadable(text: bytes) -> bool:
    """Whether JSON text may hold a number that is too long to be read; or it is only text."""
    # wherever one begins, it goes over one of these places
    for at in range(LONGEST_NUMBER, len(text), LONGEST_NUMBER):
        before = text[at - LONGEST_NUMBER : at]
        after = text[at : at + LONGEST_NUMBER + 1]
        digits = b"0123456789"
        run = len(before) - len(before.rstrip(digits)) + len(after) - len(after.lstrip(digits))
        if run > LONGEST_NUMBER:
            return True
    return False


def _is_readable(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _has_iterator(value: Any) -> bool:
    """Whether serialising would consume something."""
    waiting, seen = [value], set[int]()
    while waiting:
        part = waiting.pop()
        if isinstance(part, (str, bytes, int, float)) or part is None or id(part) in seen:
            continue
        if isinstance(part, Iterator):
            return True
        seen.add(id(part))
        if isinstance(part, dict):
            waiting.extend(part.values())
        elif isinstance(part, (list, tuple, set, frozenset, collections.deque)):
            waiting.extend(part)
        elif isinstance(part, BaseModel):
            waiting.extend(part.__dict__.values())
        elif _is_record(part):
            waiting.extend(getattr(part, field.name, None) for field in dataclasses.fields(part))
    return False


def _is_record(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


# --- sameness -------------------------------------------------------------------------------


def _same(back: Any, value: Any) -> bool:
    """Equal, and of the same types all the way down; NaN is the same as NaN.

    An int where a float is declared comes back as the float that it is equal to.
    """
    kind = type(back)
    if kind is not type(value):
        return kind is float and type(value) is int and back == value and abs(back) <= 2**53
    if kind is float:
        return (back == value and math.copysign(1, back) == math.copysign(1, value)) or (
            back != back and value != value
        )
    if isinstance(back, BaseModel):
        return (
            all(_same(getattr(back, name), getattr(value, name)) for name in kind.model_fields)
            and _same(back.__pydantic_extra__, value.__pydantic_extra__)
            and _same(back.__pydantic_private__, value.__pydantic_private__)
        )
    if _is_record(back):
        return all(
            _same(getattr(back, field.name), getattr(value, field.name))
            for field in dataclasses.fields(back)
        )
    if isinstance(back, dict):
        keys = {key: key for key in value}
        factories = [getattr(one, "default_factory", None) for one in (back, value)]
        return (
            len(back) == len(value)
            and factories[0] == factories[1]
            and all(key in keys and _same(key, keys[key]) for key in back)
            and all(_same(back[key], value[key]) for key in back)
            and (kind is not collections.OrderedDict or list(back) == list(value))
        )
    if isinstance(back, (list, tuple, collections.deque)):
        return len(back) == len(value) and all(map(_same, back, value))
    if isinstance(back, (set, frozenset)):
        partners = {part: part for part in value}
        return len(back) == len(value) and all(
            part in partners and _same(part, partners[part]) for part in back
        )
    if isinstance(back, decimal.Decimal):
        return bool(back.as_tuple() == value.as_tuple())
    if isinstance(back, (datetime, time)):
        return bool(back == value) and back.fold == value.fold and _is_fixed(value)
    return bool(back == value)


def _is_fixed(value: datetime | time) -> bool:
    """Whether its zone is none, or one offset for ever, which is all that text tells."""
    return value.tzinfo is None or value.tzinfo.utcoffset(None) is not None
