"""Turn what was typed into a spec and the run folder where it is to be done."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fastvideo_engine.errors import SpecError
from fastvideo_engine.run_folder import RunFolder, write_whole
from fastvideo_engine.specs import GenerateSpec, ImportSpec, JobSpec, PreprocessSpec, TrainSpec, read_spec, spec_from
from fastvideo_engine.specs.base import read_settings, with_setting
from fastvideo_engine.tools import TOOLS, add_tools

SPECS: dict[str, type[JobSpec]] = {
    "import": ImportSpec,
    "preprocess": PreprocessSpec,
    "train": TrainSpec,
    "generate": GenerateSpec,
}
# What may change when a job goes on in its folder: more steps, or other processes for the clips that are left.
_MAY_DIFFER = {
    "train": {"steps", "tracking.tracker", "tracking.project", "tracking.run_name"},
    "preprocess": {
        "processes",
        "max_bad_share",
        "decoding.decoder",
        "decoding.workers",
        "encoding.batch_size",
        "output.samples_per_file",
        "output.flush_frequency",
    },
}


@dataclass(frozen=True)
class Asked:
    """What was typed: a run folder that holds its spec, or (with a kind) the parts that make one.

    `given` are settings that flags made, `settings` assignments of one field each; `notices` are to be said once, and
    `command` is what Python is started with to do the same.
    """

    folder: RunFolder
    kind: str | None
    command: Sequence[str]
    spec_file: Path | None = None
    given: Mapping[str, Any] = field(default_factory=dict)
    settings: Sequence[str] = ()
    notices: Sequence[str] = ()
    die_with_parent: bool = False
    runner: str | None = None
    """The module that does it, of what is no job."""
    dry_run: bool = False
    """Only tell what would be done, and write nothing."""


def understand(arguments: Sequence[str]) -> Asked:
    """Parse the arguments; on `--help` or a mistake argparse prints and leaves."""
    command = ["-m", "fastvideo_engine", *arguments]
    if arguments and arguments[0] in (*SPECS, *TOOLS):
        typed = _command_parser().parse_args(arguments)
        kind = typed.command
        if kind in TOOLS:
            given = {name: value for name, value in vars(typed).items() if name not in ("command", "what", "runner")}
            return Asked(RunFolder(Path()), kind, command, given=given, runner=typed.runner)
        asked = Asked(RunFolder(typed.output), kind, command, spec_file=typed.spec, settings=typed.set)
        return replace(asked, dry_run=kind == "train" and typed.dry_run)
    typed = _folder_parser().parse_args(arguments)
    return Asked(RunFolder(typed.run_folder), None, command, die_with_parent=typed.die_with_parent)


def spec_asked_for(asked: Asked) -> JobSpec:
    """Make the spec, its relative folders read from where it was written; raise `SpecError` when it does not hold."""
    if asked.kind is None:
        return read_spec(asked.folder.spec).anchored(asked.folder.path.resolve())
    settings = read_settings(asked.spec_file) if asked.spec_file else dict(asked.given)
    if settings.get("kind", asked.kind) != asked.kind:
        raise SpecError(f"{asked.spec_file} is a spec to {settings['kind']}; begin with that instead of {asked.kind}.")
    for assignment in asked.settings:
        settings = with_setting(settings, assignment)
    base = asked.spec_file.parent if asked.spec_file else Path()
    return spec_from({**settings, "kind": asked.kind}).anchored(base.resolve())


def keep_spec(spec: JobSpec, folder: RunFolder) -> None:
    """Write the spec into its folder; raise `SpecError` when the folder holds work on another one."""
    check_goes_on(spec, folder)
    write_whole(folder.spec, spec.to_yaml())


def check_goes_on(spec: JobSpec, folder: RunFolder) -> None:
    """Raise `SpecError` when a folder holds work on another spec."""
    results = (folder.ledger, folder.parquet, folder.clips, folder.checkpoints, folder.samples)
    if folder.spec.exists() and any(path.exists() for path in results):
        begun = read_spec(folder.spec).anchored(folder.path.resolve())
        differing = _differences(begun.model_dump(mode="json"), spec.model_dump(mode="json"))
        if differing.keys() - _MAY_DIFFER.get(spec.kind, set()):
            raise SpecError(
                f"{folder.path} holds a job that was begun with another spec ({'; '.join(differing.values())}); "
                "choose another --output for the new one, or ask for the same to continue."
            )


def _differences(begun: dict[str, Any], asked: dict[str, Any], prefix: str = "") -> dict[str, str]:
    if begun.get("kind") != asked.get("kind"):
        return {"kind": f"it is to {begun.get('kind')}"}
    found: dict[str, str] = {}
    for name in {**begun, **asked}:
        was, now = begun.get(name), asked.get(name)
        if isinstance(was, dict) and isinstance(now, dict):
            found |= _differences(was, now, f"{prefix}{name}.")
        elif was != now:
            found[prefix + name] = f"{prefix}{name} was {was}, now {now}"
    return found


def _folder_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fastvideo_engine",
        description="Do what the spec.yaml in a run folder says.",
        epilog=f"Or begin with {', '.join(SPECS)} or {', '.join(TOOLS)}, each of which has its own --help.",
    )
    parser.add_argument("run_folder", metavar="RUN_FOLDER", type=Path, help="holds spec.yaml; results go there")
    parser.add_argument("--die-with-parent", action="store_true", help="end when the process that started this ends")
    return parser


def _command_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fastvideo_engine")
    commands = parser.add_subparsers(dest="command", required=True)
    for kind, spec in SPECS.items():
        command = commands.add_parser(
            kind,
            description=spec.__doc__,
            epilog="Fields of the spec:\n" + "\n".join(_described(spec)),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_argument("spec", metavar="SPEC.yaml", nargs="?", type=Path, help="the fields below, as YAML")
        command.add_argument(
            "--set", metavar="FIELD=VALUE", action="append", default=[], help="set one field; repeatable"
        )
        command.add_argument(
            "--output", metavar="DIR", type=Path, required=True, help="the run folder; results go there"
        )
        if kind == "train":
            told = "check all that can be checked, tell what would be done, and write nothing"
            command.add_argument("--dry-run", "--dry_run", action="store_true", help=told)
    add_tools(commands)
    return parser


def _described(part: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, declared in part.model_fields.items():
        inner = _parts_in(declared.annotation)
        if len(inner) > 1:  # a union: first what tells its members apart
            which = str(declared.discriminator)
            choices = [each.model_fields[which].default for each in inner]
            yield _line(f"{prefix}{name}.{which}", f"One of: {', '.join(choices)}.")
        for each in inner:
            yield from _described(each, f"{prefix}{name}.")
        choices = list(get_args(declared.annotation)) if get_origin(declared.annotation) is Literal else []
        # A field with one possible value is nothing to choose.
        if not inner and len(choices) != 1:
            one_of = f" One of: {', '.join(choices)}." if choices else ""
            yield _line(prefix + name, f"{declared.description}{one_of} {_default(declared)}")


def _line(name: str, text: str) -> str:
    return f"  {name:<28} {text}"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "Required."
    return f"Default: {field.default}." if field.default not in (None, "", []) else "Default: empty."


def _parts_in(annotation: Any) -> list[type[BaseModel]]:
    members = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return [member for member in members if isinstance(member, type) and issubclass(member, BaseModel)]
