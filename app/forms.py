"""A spec class becomes inputs, inputs become a spec again, and what is wrong is said beside its field."""

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
import gradio as gr
from gradio.components import Component
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from app.chrome import QUIET, notice
from app.errors import readable
from app.presets import Preset
from fastvideo_engine.specs.base import dotted, plain

Settings = dict[str, Any]
Check = Callable[[Settings], Mapping[str, str]]
"""Rules that need more than the spec (a model family, say): the wrong fields, each with its sentence."""

_WIDEST_SLIDER = 512


@dataclass(frozen=True)
class Form:
    """The inputs of one spec, by dotted field name; `fixed` are fields that the page decides."""

    spec_class: type[BaseModel]
    inputs: dict[str, Component]
    fixed: Settings

    @property
    def components(self) -> list[Component]:
        return list(self.inputs.values())

    def settings(self, values: tuple[Any, ...]) -> Settings:
        """Nest the values of the inputs the way the spec does; what may be empty and is, takes the field's default."""
        settings: Settings = dict(self.fixed)
        held = self._in_use(values)
        for name, value in held.items():
            if value is not None and value != "":
                path = _without_variant(self.spec_class, name)
                _put(settings, path, value.splitlines() if self._is_list(name) else value)
        return settings

    def _in_use(self, values: tuple[Any, ...]) -> dict[str, Any]:
        """Return what the inputs hold, but for those of variants that are not chosen."""
        held = dict(zip(self.inputs, values, strict=False))
        return {
            name: value
            for name, value in held.items()
            if (variant := _variant_of(self.spec_class, name)) is None or held[variant.tag] == variant.choice
        }

    def handler(self, handle: Callable[..., Any]) -> Callable[..., Any]:
        """Make a handler of this form's inputs (and more after them) from one that takes settings (and the more)."""

        def with_settings(*values: Any) -> Any:
            return handle(self.settings(values), *values[len(self.inputs) :])

        return readable(with_settings)

    def validator(self, check: Check, **decided: Any) -> Callable[..., list[Any]]:
        """Make the function that Gradio asks before the handler: one verdict an input, the handler's extras included.

        `decided` stands in for required fields that the handler fills in later.
        """

        @readable
        def verdicts(*values: Any) -> list[Any]:
            problems = self.problems_of(values, check, **decided)
            own = [gr.validate(name not in problems, problems.get(name, "")) for name in self.inputs]
            return own + [gr.validate(True, "")] * (len(values) - len(own))

        return verdicts

    def explain_beside(self, launch: gr.Button, check: Check, **decided: Any) -> None:
        """Say under a button, once it is pressed, what is wrong in fields that may be out of sight.

        Those are the fields of accordions, which may be closed, and rules that no single field breaks.
        """
        told = gr.HTML(elem_classes="fvs-notices")

        def out_of_sight(*values: Any) -> str:
            problems = self.problems_of(values, check, **decided)
            hidden = {name: sentence for name, sentence in problems.items() if "." in name or name not in self.inputs}
            return "".join(notice("error", f"{self._place(name)}{sentence}") for name, sentence in hidden.items())

        launch.click(out_of_sight, self.components, told, **QUIET)

    def _place(self, name: str) -> str:
        if name not in self.inputs:
            return ""
        part, field = self.spec_class.model_fields[name.partition(".")[0]], _field(self.spec_class, name)
        return f"{part.title} › {field.title}: "

    def problems_of(self, values: tuple[Any, ...], check: Check, **decided: Any) -> dict[str, str]:
        """Say what is wrong with what the inputs hold, each field by its dotted name."""
        return self._left_empty(values) or self.problems({**self.settings(values), **decided}, check)

    def _left_empty(self, values: tuple[Any, ...]) -> dict[str, str]:
        empty = [name for name, value in self._in_use(values).items() if value is None or value == ""]
        return {name: "Fill this in." for name in empty if not _may_be_empty(_field(self.spec_class, name))}

    def problems(self, settings: Settings, check: Check) -> dict[str, str]:
        """Say each wrong field by its dotted name: what the spec refuses first, then what the check does."""
        try:
            self.spec_class.model_validate(settings)
        except ValidationError as error:
            return {dotted(part["loc"]): _sentence(part) for part in error.errors()}
        return dict(check(settings))

    def follow(self, choice: gr.Radio, offered: Sequence[Preset]) -> None:
        """Fill the inputs with the chosen preset, the first one to begin with; what it does not say stays as it is."""
        by_title = {preset.title: preset for preset in offered}
        for name, component in self.inputs.items():
            value = self._preset(offered[0], name)
            component.value = component.value if value is None else _as_input(value)
        choice.change(
            lambda title: [_shown(self._preset(by_title[title], name)) for name in self.inputs],
            inputs=choice,
            outputs=self.components,
            **QUIET,
        )

    def _preset(self, preset: Preset, name: str) -> Any:
        variant = _variant_of(self.spec_class, name)
        if variant and _look_up(preset.settings, variant.tag.split(".")) != variant.choice:
            return None
        return _look_up(preset.settings, _without_variant(self.spec_class, name))

    def _is_list(self, name: str) -> bool:
        return get_origin(_field(self.spec_class, name).annotation) is list


def preset_input(offered: Sequence[Preset]) -> gr.Radio:
    """Draw the choice among presets."""
    return gr.Radio([preset.title for preset in offered], value=offered[0].title, label="Preset")


def draw(
    spec_class: type[BaseModel],
    special: Mapping[str, Callable[[FieldInfo], Component]] | None = None,
    fixed: Mapping[str, Any] | None = None,
    open_parts: Sequence[str] = (),
) -> Form:
    """Draw the inputs of a spec inside the current layout: plain fields in rows, each nested part as an accordion."""
    special, fixed = special or {}, {"kind": spec_class.model_fields["kind"].default, **(fixed or {})}
    inputs: dict[str, Component] = {}
    with gr.Row(elem_classes="fvs-form"):
        for name, field in _plain_fields(spec_class, skip=set(fixed)):
            inputs[name] = special[name](field) if name in special else _input(field)
    for name, field in spec_class.model_fields.items():
        variants = _parts_in(field.annotation)
        if name in fixed or not variants:
            continue
        with gr.Accordion(field.title or name, open=name in open_parts):
            if len(variants) > 1:
                inputs |= _draw_variants(name, field, variants)
            else:
                inputs |= _draw_part(f"{name}.", variants[0])
    return Form(spec_class, inputs, fixed)


def _draw_part(prefix: str, part: type[BaseModel]) -> dict[str, Component]:
    with gr.Row(elem_classes="fvs-form"):
        return {f"{prefix}{name}": _input(field) for name, field in _plain_fields(part, skip=set())}


def _draw_variants(name: str, field: FieldInfo, variants: Sequence[type[BaseModel]]) -> dict[str, Component]:
    """Draw a union: a choice of its variant, and the inputs of each, of which those of the chosen one are seen."""
    by_choice = {_choice(variant, field): variant for variant in variants}
    chosen = getattr(field.default, str(field.discriminator))
    told = {choice: variant.model_fields[str(field.discriminator)].description for choice, variant in by_choice.items()}
    info = " ".join(f"{choice}: {text}" for choice, text in told.items())
    radio = gr.Radio(list(by_choice), value=chosen, label=field.title, info=info)
    inputs: dict[str, Component] = {f"{name}.{field.discriminator}": radio}
    groups = []
    for choice, variant in by_choice.items():
        # Hidden and not left out: its inputs must go on sending what they hold.
        with gr.Column(visible=True if choice == chosen else "hidden") as group:
            inputs |= _draw_part(f"{name}.{choice}.", variant)
        groups.append(group)
    radio.change(
        lambda now: [gr.Column(visible=True if choice == now else "hidden") for choice in by_choice],
        radio,
        groups,
        **QUIET,
    )
    return inputs


def _plain_fields(spec_class: type[BaseModel], skip: set[str]) -> list[tuple[str, FieldInfo]]:
    return [
        (name, field)
        for name, field in spec_class.model_fields.items()
        if name not in skip and not _parts_in(field.annotation) and field.title and not _is_tag(name, field)
    ]


def _parts_in(annotation: Any) -> list[type[BaseModel]]:
    """List the part that a field holds, or the variants of a union of parts."""
    members = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    return [member for member in members if isinstance(member, type) and issubclass(member, BaseModel)]


@dataclass(frozen=True)
class _Variant:
    """The choice within a union that an input belongs to, and the input that makes it."""

    tag: str
    choice: str


def _variant_of(spec_class: type[BaseModel], name: str) -> _Variant | None:
    """Tell the variant of an input, which is named as pydantic names its errors: `field.choice.inner`."""
    head, *rest = name.split(".")
    field = spec_class.model_fields[head]
    return _Variant(f"{head}.{field.discriminator}", rest[0]) if len(rest) == 2 and field.discriminator else None


def _without_variant(spec_class: type[BaseModel], name: str) -> list[str]:
    """Return where a spec holds an input's value."""
    path = name.split(".")
    return [path[0], path[2]] if _variant_of(spec_class, name) else path


def _choice(variant: type[BaseModel], field: FieldInfo) -> str:
    return str(variant.model_fields[str(field.discriminator)].default)


def _is_tag(name: str, field: FieldInfo) -> bool:
    # The tag of a union ("method", "kind", "type") with one variant so far is no choice.
    return name in ("method", "kind", "type") and len(get_args(field.annotation)) == 1


def _input(field: FieldInfo) -> Component:
    kind = _without_none(field.annotation)
    common: dict[str, Any] = {"label": field.title, "info": field.description, "min_width": 200}
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    if kind is bool:
        return gr.Checkbox(value=bool(default), **common)
    if get_origin(kind) is Literal:
        return gr.Dropdown(list(get_args(kind)), value=default, **common)
    if get_origin(kind) is list:
        return gr.Textbox(value="\n".join(default or []), lines=4, max_lines=12, elem_classes="fvs-wide", **common)
    if kind in (int, float) and default is None and not field.is_required():
        # Gradio sends an empty Number as 0; as text, empty stays empty and pydantic reads the rest.
        return gr.Textbox(value="", placeholder="optional", **common)
    if kind in (int, float):
        return _number(field, kind, default, common)
    return gr.Textbox(value=default or "", **common)


def _number(field: FieldInfo, kind: type, default: Any, common: dict[str, Any]) -> Component:
    low, high = _bound(field, annotated_types.Ge), _bound(field, annotated_types.Le)
    if kind is int and low is not None and high is not None and high - low <= _WIDEST_SLIDER:
        return gr.Slider(low, high, value=default, step=1, **common)
    # Bounds are left to the spec: a browser that refuses a value silently explains nothing.
    # Nor is a fraction rounded to a whole number behind its writer's back.
    return gr.Number(value=default, **common)


def _bound(field: FieldInfo, kind: type[annotated_types.Ge] | type[annotated_types.Le]) -> Any:
    for bound in field.metadata:
        if isinstance(bound, kind):
            return bound.ge if isinstance(bound, annotated_types.Ge) else bound.le
    return None


def _may_be_empty(field: FieldInfo) -> bool:
    return not field.is_required() and field.get_default(call_default_factory=True) in (None, "", [])


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, types.UnionType):
        return next(kind for kind in get_args(annotation) if kind is not type(None))
    return annotation


def _field(spec_class: type[BaseModel], name: str) -> FieldInfo:
    head, _, rest = name.partition(".")
    field = spec_class.model_fields[head]
    if not rest:
        return field
    variants = _parts_in(field.annotation)
    variant = _variant_of(spec_class, name)
    if variant is None:
        return _field(variants[0], rest)
    chosen = next(part for part in variants if _choice(part, field) == variant.choice)
    return _field(chosen, rest.partition(".")[2])


def _sentence(error: Any) -> str:
    text = plain(error).replace("Input should be", "It must be").replace("Field required", "Fill this in")
    return text[0].upper() + text[1:] + "."


def _put(settings: Settings, path: list[str], value: Any) -> None:
    for part in path[:-1]:
        settings = settings.setdefault(part, {})
    settings[path[-1]] = value


def _look_up(settings: Any, path: list[str]) -> Any:
    for part in path:
        if not isinstance(settings, Mapping) or part not in settings:
            return None
        settings = settings[part]
    return settings


def _shown(value: Any) -> Any:
    if value is None:
        return gr.skip()
    return _as_input(value)


def _as_input(value: Any) -> Any:
    return "\n".join(value) if isinstance(value, list) else value
