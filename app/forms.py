"""A spec class becomes inputs, inputs become a spec again, and what is wrong is said beside its field."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

import annotated_types
import gradio as gr
from gradio.components import Component
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from app import spec_fields
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
    advanced: Collection[str] = ()

    @property
    def components(self) -> list[Component]:
        return list(self.inputs.values())

    def settings(self, values: tuple[Any, ...]) -> Settings:
        """Nest the values of the inputs the way the spec does; what may be empty and is, takes the field's default."""
        settings: Settings = dict(self.fixed)
        held = self._in_use(values)
        for name, value in held.items():
            if value is not None and value != "":
                path = spec_fields.without_variant(self.spec_class, name)
                _put(settings, path, value.splitlines() if self._is_list(name) else value)
        return settings

    def _in_use(self, values: tuple[Any, ...]) -> dict[str, Any]:
        """Return what the inputs hold, but for those of variants that are not chosen."""
        held = dict(zip(self.inputs, values, strict=False))
        return {
            name: value
            for name, value in held.items()
            if (variant := spec_fields.variant_of(self.spec_class, name)) is None or held[variant.tag] == variant.choice
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
            hidden = {name: sentence for name, sentence in problems.items() if not self._is_seen(name)}
            return "".join(notice("error", f"{self._place(name)}{sentence}") for name, sentence in hidden.items())

        launch.click(out_of_sight, self.components, told, **QUIET)

    def _is_seen(self, name: str) -> bool:
        return name in self.inputs and "." not in name and name not in self.advanced

    def _place(self, name: str) -> str:
        part = self.spec_class.model_fields.get(name.partition(".")[0])
        if part is None:
            return ""
        if name not in self.inputs:
            return f"{part.title}: "
        group = part.title if "." in name else "More settings"
        return f"{group} › {spec_fields.field_named(self.spec_class, name).title}: "

    def problems_of(self, values: tuple[Any, ...], check: Check, **decided: Any) -> dict[str, str]:
        """Say what is wrong with what the inputs hold, each field by its dotted name."""
        return self._left_empty(values) or self.problems({**self.settings(values), **decided}, check)

    def _left_empty(self, values: tuple[Any, ...]) -> dict[str, str]:
        empty = [name for name, value in self._in_use(values).items() if value is None or value == ""]
        return {
            name: "Fill this in."
            for name in empty
            if not spec_fields.may_be_empty(spec_fields.field_named(self.spec_class, name))
        }

    def problems(self, settings: Settings, check: Check) -> dict[str, str]:
        """Say each wrong field by its dotted name: what the spec refuses first, then what the check does."""
        try:
            self.spec_class.model_validate(settings)
        except ValidationError as error:
            return {dotted(part["loc"]): _sentence(part) for part in error.errors()}
        return dict(check(settings))

    def follow(self, choice: gr.Radio, offered: Sequence[Preset]) -> None:
        """Fill the inputs with the chosen preset, the first one to begin with.

        What it does not say gets its default where another preset says it, so that nothing of that one is left, and
        stays as it is where none does.
        """
        by_title = {preset.title: preset for preset in offered}
        defaults = {name: component.value for name, component in self.inputs.items()}
        said_by_some = [
            name for name in self.inputs if any(self._preset(preset, name) is not None for preset in offered)
        ]

        def filled(title: str) -> list[Any]:
            said = {name: self._preset(by_title[title], name) for name in said_by_some}
            return [defaults[name] if value is None else _as_input(value) for name, value in said.items()]

        for name, value in zip(said_by_some, filled(offered[0].title), strict=True):
            self.inputs[name].value = value
        choice.change(filled, choice, [self.inputs[name] for name in said_by_some], **QUIET)

    def _preset(self, preset: Preset, name: str) -> Any:
        variant = spec_fields.variant_of(self.spec_class, name)
        if variant and _look_up(preset.settings, variant.tag.split(".")) != variant.choice:
            return None
        return _look_up(preset.settings, spec_fields.without_variant(self.spec_class, name))

    def _is_list(self, name: str) -> bool:
        return get_origin(spec_fields.field_named(self.spec_class, name).annotation) is list


def preset_input(offered: Sequence[Preset]) -> gr.Radio:
    """Draw the choice among presets."""
    return gr.Radio([preset.title for preset in offered], value=offered[0].title, label="Preset")


def draw(
    spec_class: type[BaseModel],
    special: Mapping[str, Callable[[FieldInfo], Component]] | None = None,
    fixed: Mapping[str, Any] | None = None,
    open_parts: Sequence[str] = (),
    advanced: Collection[str] = (),
) -> Form:
    """Draw the inputs of a spec inside the current layout: plain fields in rows, each nested part as an accordion.

    `special` draws some fields its own way, `advanced` puts some out of sight until they are asked for; both by dotted
    name.
    """
    fixed = {"kind": spec_class.model_fields["kind"].default, **(fixed or {})}
    pen = _Pen(special or {}, advanced)
    inputs = pen.draw_fields("", spec_fields.plain_fields(spec_class, skip=set(fixed)))
    for name, field in spec_class.model_fields.items():
        variants = spec_fields.parts_in(field.annotation)
        if name in fixed or not variants:
            continue
        with gr.Accordion(field.title or name, open=name in open_parts):
            if len(variants) > 1:
                inputs |= _draw_variants(pen, name, field, variants)
            else:
                inputs |= pen.draw_fields(f"{name}.", spec_fields.plain_fields(variants[0]))
    return Form(spec_class, inputs, fixed, advanced)


@dataclass(frozen=True)
class _Pen:
    """How the page wants some fields drawn."""

    special: Mapping[str, Callable[[FieldInfo], Component]]
    advanced: Collection[str]

    def draw_fields(self, prefix: str, fields: Mapping[str, FieldInfo]) -> dict[str, Component]:
        """Draw a row of inputs, and below it a closed one of those that few people change."""
        named = {f"{prefix}{name}": field for name, field in fields.items()}
        inputs = self._draw_row({name: field for name, field in named.items() if name not in self.advanced})
        behind = {name: field for name, field in named.items() if name in self.advanced}
        if behind:
            with gr.Accordion("More settings", open=False, elem_classes="fvs-more"):
                inputs |= self._draw_row(behind)
        return inputs

    def _draw_row(self, fields: Mapping[str, FieldInfo]) -> dict[str, Component]:
        if not fields:
            return {}
        with gr.Row(elem_classes="fvs-form"):
            return {name: self.special.get(name, _input)(field) for name, field in fields.items()}


def _draw_variants(pen: _Pen, name: str, field: FieldInfo, variants: Sequence[type[BaseModel]]) -> dict[str, Component]:
    """Draw a union: a choice of its variant, and the inputs of each, of which those of the chosen one are seen."""
    by_choice = {spec_fields.choice_of(variant, field): variant for variant in variants}
    titles = {choice: variant.model_config.get("title") or choice for choice, variant in by_choice.items()}
    chosen = getattr(field.default, str(field.discriminator))
    told = {choice: variant.model_fields[str(field.discriminator)].description for choice, variant in by_choice.items()}
    info = " ".join(f"{titles[choice]}: {text}" for choice, text in told.items())
    radio = gr.Radio([(title, choice) for choice, title in titles.items()], value=chosen, label=field.title, info=info)
    inputs: dict[str, Component] = {f"{name}.{field.discriminator}": radio}
    groups = []
    for choice, variant in by_choice.items():
        # Hidden and not left out: its inputs must go on sending what they hold.
        with gr.Column(visible=True if choice == chosen else "hidden") as group:
            inputs |= pen.draw_fields(f"{name}.{choice}.", spec_fields.plain_fields(variant))
        groups.append(group)
    radio.change(
        lambda now: [gr.Column(visible=True if choice == now else "hidden") for choice in by_choice],
        radio,
        groups,
        **QUIET,
    )
    return inputs


def _input(field: FieldInfo) -> Component:
    kind = spec_fields.without_none(field.annotation)
    common: dict[str, Any] = {"label": field.title, "info": field.description, "min_width": 200}
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    if kind is bool:
        return gr.Checkbox(value=bool(default), **common)
    if get_origin(kind) is Literal:
        return gr.Dropdown(list(get_args(kind)), value=default, **common)
    if get_origin(kind) is list:
        return gr.Textbox(
            value="\n".join(map(str, default or [])), lines=4, max_lines=12, elem_classes="fvs-wide", **common
        )
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


def _as_input(value: Any) -> Any:
    return "\n".join(map(str, value)) if isinstance(value, list) else value
