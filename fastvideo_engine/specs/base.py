"""What every spec shares: it is frozen, refuses unknown fields, and reads and writes YAML."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from fastvideo_engine.errors import SpecError


class Part(BaseModel):
    """A group of settings: one accordion in a form, one nested mapping in YAML."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Spec(Part):
    """What to do, whole: enough for the engine to do it and for a person to do it again."""

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)


def is_folder(model_or_dataset: str) -> bool:
    """Tell a folder from a hub id: a path begins with `.`, `/` or `~`, or is there."""
    return model_or_dataset.startswith((".", "/", "~")) or Path(model_or_dataset).is_dir()


def anchored_folder(name: str, base: Path) -> str:
    """Resolve a folder against `base`; a hub id stays what it is."""
    if is_folder(name) or (base / name).is_dir():
        return anchored_path(name, base)
    return name


def anchored_path(path: str, base: Path) -> str:
    """Resolve a path against `base`."""
    return str((base / Path(path).expanduser()).resolve())


def kept_lines(lines: Sequence[str]) -> list[str]:
    """Leave out the blank lines of a field that has one thing a line."""
    return [line.strip() for line in lines if line.strip()]


def check_images_go_with(prompts: Sequence[str], images: Sequence[str]) -> None:
    """Raise `ValueError` unless there is an image for each prompt, one for all, or none."""
    if len(images) not in (0, 1, len(prompts)):
        raise ValueError(
            f"{len(images)} images do not go with {len(prompts)} prompts; name one for each prompt, or one for all"
        )


def read_settings(path: Path) -> dict[str, Any]:
    """Read the mapping that a YAML file holds; raise `SpecError` when it holds none."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SpecError(f"There is no spec at {path}; give the path of a YAML file.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecError(f"{path} is not readable as YAML ({_first_line(error)}); correct it there.") from None
    if not isinstance(content, dict):
        raise SpecError(f"{path} holds no settings; write one `field: value` a line.")
    return content


def with_setting(settings: dict[str, Any], assignment: str) -> dict[str, Any]:
    """Return the settings with one `dotted.field=value` put in; the value is read as YAML."""
    field, equals, text = assignment.partition("=")
    if not equals or not field:
        raise SpecError(f"`--set {assignment}` has no value; write it as `--set field=value`.")
    try:
        value = yaml.safe_load(_float_as_yaml_reads_it(text))
    except yaml.YAMLError as error:
        raise SpecError(f"`--set {assignment}`: the value is not readable as YAML ({_first_line(error)}).") from None
    return _put(settings, field.split("."), value)


def in_words(error: ValidationError) -> str:
    """Say all that is wrong with a spec in one sentence, each field by its dotted name."""
    return "; ".join(f"{dotted(part['loc'])}: {plain(part)}" for part in error.errors())


def dotted(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "spec"


def plain(error: Any) -> str:
    """Say one of pydantic's errors without its prefix, and with the value that caused it where that helps."""
    text = str(error["msg"]).removeprefix("Value error, ").rstrip(".")
    shown = repr(error.get("input"))
    says_it_itself = error["type"] in ("value_error", "missing") or len(shown) > 60
    return text if says_it_itself else f"{text} (it is {shown})"


def _put(settings: dict[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    head, *rest = path
    if not rest:
        return {**settings, head: value}
    inner = settings.get(head)
    return {**settings, head: _put(inner if isinstance(inner, dict) else {}, rest, value)}


def _float_as_yaml_reads_it(text: str) -> str:
    # YAML 1.1 takes 1e-4 for a string (it wants 1.0e-4); everyone means the number.
    try:
        return repr(float(text)) if "e" in text.lower() else text
    except ValueError:
        return text


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
