"""What a form must know of a spec's fields: which are plain, which are parts, and which belong to a choice."""

import types
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo


def plain_fields(spec_class: type[BaseModel], skip: Collection[str] = ()) -> dict[str, FieldInfo]:
    """List the fields that one input each can hold, of which a person has a choice."""
    return {
        name: field
        for name, field in spec_class.model_fields.items()
        if name not in skip and not parts_in(field.annotation) and field.title and not is_tag(name, field)
    }


def parts_in(annotation: Any) -> list[type[BaseModel]]:
    """List the part that a field holds, or the variants of a union of parts."""
    members = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    return [member for member in members if isinstance(member, type) and issubclass(member, BaseModel)]


@dataclass(frozen=True)
class Variant:
    """The choice within a union that an input belongs to, and the input that makes it."""

    tag: str
    choice: str


def variant_of(spec_class: type[BaseModel], name: str) -> Variant | None:
    """Tell the variant of an input, which is named as pydantic names its errors: `field.choice.inner`."""
    head, *rest = name.split(".")
    field = spec_class.model_fields[head]
    return Variant(f"{head}.{field.discriminator}", rest[0]) if len(rest) == 2 and field.discriminator else None


def without_variant(spec_class: type[BaseModel], name: str) -> list[str]:
    """Return where a spec holds an input's value."""
    path = name.split(".")
    return [path[0], path[2]] if variant_of(spec_class, name) else path


def choice_of(variant: type[BaseModel], field: FieldInfo) -> str:
    """Tell the tag that chooses a variant of a union."""
    return str(variant.model_fields[str(field.discriminator)].default)


def is_tag(name: str, field: FieldInfo) -> bool:
    # The tag of a union ("method", "kind", "type") with one variant so far is no choice.
    return name in ("method", "kind", "type") and len(get_args(field.annotation)) == 1


def may_be_empty(field: FieldInfo) -> bool:
    return not field.is_required() and field.get_default(call_default_factory=True) in (None, "", [])


def without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, types.UnionType):
        return next(kind for kind in get_args(annotation) if kind is not type(None))
    return annotation


def field_named(spec_class: type[BaseModel], name: str) -> FieldInfo:
    """Find the field of an input by its dotted name."""
    head, _, rest = name.partition(".")
    field = spec_class.model_fields[head]
    if not rest:
        return field
    variants = parts_in(field.annotation)
    variant = variant_of(spec_class, name)
    if variant is None:
        return field_named(variants[0], rest)
    chosen = next(part for part in variants if choice_of(part, field) == variant.choice)
    return field_named(chosen, rest.partition(".")[2])
