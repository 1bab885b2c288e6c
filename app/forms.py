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
        for name, value in zip(self.inputs, values, strict=False):
            if value is not None and value != "":
                _put(settings, name.split("."), value.splitlines() if self._is_list(name) else value)
        return settings

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
        empty = [name for name, value in zip(self.inputs, values, strict=False) if value is None or value == ""]
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
        by_title = {preset.title: preset.settings for preset in offered}
        for name, component in self.inputs.items():
            value = _look_up(offered[0].settings, name.split("."))
            component.value = component.value if value is None else _as_input(value)
        choice.change(
            lambda title: [_shown(_look_up(by_title[title], name.split("."))) for name in self.inputs],
            inputs=choice,
            outputs=self.components,
            **QUIET,
        )

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
        part = field.annotation
        if name in fixed or not (isinstance(part, type) and issubclass(part, BaseModel)):
            continue
        with gr.Accordion(field.title or name, open=name in open_parts), gr.Row(elem_classes="fvs-form"):
            for inner_name, inner in _plain_fields(part, skip=set()):
                inputs[f"{name}.{inner_name}"] = _input(inner)
    return Form(spec_class, inputs, fixed)


def _plain_fields(spec_class: type[BaseModel], skip: set[str]) -> list[tuple[str, FieldInfo]]:
    return [
        (name, field)
        for name, field in spec_class.model_fields.items()
        if name not in skip and not _is_part(field.annotation) and field.title and not _is_tag(name, field)
    ]


def _is_part(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _is_tag(name: str, field: FieldInfo) -> bool:
    # The tag of a union ("method", "type") with one variant so far is no choice.
    return name in ("method", "type") and len(get_args(field.annotation)) == 1


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
    assert isinstance(field.annotation, type)
    return _field(field.annotation, rest)


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
