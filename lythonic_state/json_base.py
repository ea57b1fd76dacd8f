"""How a value remembers which subclass it is when it is kept as JSON: `JsonBase`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

TYPE_KEY = "$type"


class JsonBase(BaseModel):
    """A model that is stored with a reference to its type, and read back as that subclass.

    Only subclasses of the declared type that the program has defined are ever chosen; a reference
    to anything else is an error of validation, so that neither a row nor a request picks a class.

    Example:
        >>> class Shape(JsonBase): ...
        >>> class Circle(Shape):
        ...     radius: float
        >>> class Drawing(DbModel):
        ...     drawing_id: int = Field(default=-1, description="(PK)")
        ...     shape: Shape
        >>> Drawing(shape=Circle(radius=2)).save(conn)
        >>> Drawing.get(conn).shape
        Circle(radius=2.0)
    """

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[BaseModel], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        schema = handler(source)
        if cls.__module__ == __name__:
            return schema
        return core_schema.no_info_wrap_validator_function(
            cls.__of_named_type,
            schema,
            serialization=core_schema.wrap_serializer_function_ser_schema(
                cls.__with_type, schema=schema, info_arg=True
            ),
        )

    @classmethod
    def __of_named_type(cls, value: Any, validate: Any) -> Any:
        if not isinstance(value, dict) or TYPE_KEY not in value:
            return validate(value)
        reference = value[TYPE_KEY]
        rest = {key: item for key, item in value.items() if key != TYPE_KEY}
        named = known_subclass(cls, reference)
        if named is None:
            raise PydanticCustomError(
                "unknown_type",
                "{reference} is not a known subclass of {base}",
                {"reference": repr(reference), "base": cls.__name__},
            )
        return validate(rest) if named is cls else named.model_validate(rest)

    @classmethod
    def __with_type(cls, value: Any, serialize: Any, info: Any) -> Any:
        kind = type(value)
        if kind is cls or not isinstance(value, JsonBase):
            return {TYPE_KEY: type_reference(kind), **serialize(value)}
        return kind.__pydantic_serializer__.to_python(
            value,
            mode=info.mode,
            by_alias=info.by_alias,
            exclude_unset=info.exclude_unset,
            exclude_defaults=info.exclude_defaults,
            exclude_none=info.exclude_none,
        )


def type_reference(kind: type) -> str:
    """`module:Qualname` of a class."""
    return f"{kind.__module__}:{kind.__qualname__}"


def known_subclass(base: type[JsonBase], reference: Any) -> type[JsonBase] | None:
    """The class of that name among `base` and its subclasses; the newest of several."""
    found = None
    for kind in _family(base):
        if type_reference(kind) == reference:
            found = kind
    return found


def _family(base: type[JsonBase]) -> Iterator[type[JsonBase]]:
    yield base
    for kind in base.__subclasses__():
        yield from _family(kind)
