"""How a value remembers which subclass it is when it is kept as JSON: `JsonBase`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from pydantic import BaseModel, GetCoreSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, PydanticCustomError, SchemaValidator, core_schema, to_json

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
        return core_schema.with_info_wrap_validator_function(
            cls.__of_named_type,
            schema,
            serialization=core_schema.wrap_serializer_function_ser_schema(
                cls.__with_type, schema=schema, info_arg=True
            ),
        )

    @classmethod
    def __of_named_type(cls, value: Any, validate: Any, info: ValidationInfo) -> Any:
        named = cls
        if isinstance(value, dict) and TYPE_KEY in value:
            reference = value[TYPE_KEY]
            found = known_subclass(cls, reference)
            if found is None:
                raise PydanticCustomError(
                    "unknown_type",
                    "{reference} is not a known subclass of {base}",
                    {"reference": repr(reference), "base": cls.__name__},
                )
            named = found
            value = {key: item for key, item in value.items() if key != TYPE_KEY}
        if info.mode == "json" and isinstance(value, dict):
            # the value was JSON, and is read as such again: it may be strict, or hold bytes
            return _inner_validator(named).validate_json(
                to_json(value), context=info.context, by_alias=True, by_name=True
            )
        if named is cls:
            return validate(value)
        return named.__pydantic_validator__.validate_python(
            value, context=info.context, by_alias=True, by_name=True
        )

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
            round_trip=info.round_trip,
            context=info.context,
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


def _inner_validator(kind: type[JsonBase]) -> SchemaValidator:
    """The validator of a class below the function that looks for its type."""
    found = kind.__dict__.get("__inner_validator__")
    if found is None:
        kind.model_rebuild()
        schema: Any = kind.__pydantic_core_schema__
        definitions = schema.get("definitions", [])
        while schema["type"] != "function-wrap":
            if schema["type"] == "definition-ref":
                schema = next(d for d in definitions if d["ref"] == schema["schema_ref"])
            else:
                schema = schema["schema"]
        inner = schema["schema"]
        if definitions:
            inner = core_schema.definitions_schema(inner, definitions)
        found = SchemaValidator(inner)
        type.__setattr__(kind, "__inner_validator__", found)
    return cast(SchemaValidator, found)


def _family(base: type[JsonBase]) -> Iterator[type[JsonBase]]:
    yield base
    for kind in base.__subclasses__():
        yield from _family(kind)
