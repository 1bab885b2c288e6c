"""How FastVideo's commands spell their flags, and which of those that they take mean nothing here."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# What FastVideo's commands take as well because generating shares their parser.
_OF_GENERATION = """
    distributed-executor-backend inference-mode trust-remote-code revision num-gpus tp-size sp-size
    hsdp-replicate-dim hsdp-shard-dim dist-timeout output-type prompt-txt lora-path lora-nickname
    lora-target-modules enable-bsa bsa-sparsity bsa-cdf-threshold bsa-chunk-q bsa-chunk-k enable-torch-compile
    torch-compile-kwargs dit-cpu-offload dit-layerwise-offload use-fsdp-inference text-encoder-cpu-offload
    image-encoder-cpu-offload vae-cpu-offload pin-cpu-memory disable-autocast VSA-sparsity master-port
    enable-stage-verification override-text-encoder-safetensors override-text-encoder-quant
    override-transformer-cls-name override-pipeline-cls-name init-weights-from-safetensors
    init-weights-from-safetensors-2 moba-config-path pipeline-config-path embedded-cfg-scale flow-shift
    vae-precision text-encoder-precisions dit-precision image-encoder-precision vae-tiling vae-sp vae-config
    dit-config text-encoder-configs boundary-ratio dmd-denoising-steps log-level
"""
_PREFIXES = (
    "ltx2-",
    "refine-",
    "vae-config.",
    "dit-config.",
    "text-encoder-configs.",
    "pipeline-config.",
)


def yes_or_no(text: str) -> bool:
    """Read `true` or `false`, in capitals or not."""
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"`{text}` is neither true nor false")
    return text.lower() == "true"


@dataclass(frozen=True)
class Flag:
    """One flag, spelled with dashes; `kind` reads its value, and a yes or no may stand without one."""

    name: str
    kind: Any
    default: Any
    help: str
    choices: tuple[str, ...] | None = None
    takes_several: bool = False


def parser_of(program: str, description: str, flags: Sequence[Flag]) -> argparse.ArgumentParser:
    """Make the parser of some flags with their defaults; it knows them by dashes."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {program}",
        description=description,
        epilog="Flags may be spelled with dashes or underscores.",
        allow_abbrev=False,
    )
    for flag in flags:
        stands_alone = flag.kind is yes_or_no
        parser.add_argument(
            f"--{flag.name}",
            dest=flag.name,
            type=flag.kind,
            default=flag.default,
            choices=flag.choices,
            help=f"{flag.help} (default: {flag.default!r})",
            metavar=None if flag.choices else flag.name.rpartition("-")[2].upper(),
            nargs="+" if flag.takes_several else "?" if stands_alone else None,
            const=True if stands_alone else None,
        )
    return parser


def values_and_rest(
    parser: argparse.ArgumentParser, arguments: Sequence[str], also_known: str = ""
) -> tuple[dict[str, Any], list[str]]:
    """Return the values of a parser's flags, and the names of FastVideo's others, which mean nothing here.

    `also_known` names more of those; anything else leaves as a mistake does in argparse.
    """
    typed, unknown = parser.parse_known_args([_dashed(argument) for argument in arguments])
    names = [argument[2:].partition("=")[0] for argument in unknown if argument.startswith("--")]
    known = {*_OF_GENERATION.split(), *also_known.split()}
    wrong = [name for name in names if name not in known and not name.startswith(_PREFIXES)]
    if wrong or (unknown and not unknown[0].startswith("--")):
        parser.error(f"unrecognized arguments: {' '.join(f'--{name}' for name in wrong) or unknown[0]}")
    return vars(typed), list(dict.fromkeys(names))


def told_without_effect(names: Sequence[str], where: str) -> list[str]:
    """Say in one notice which flags mean nothing here."""
    return [f"No effect in {where}: {', '.join(f'--{name}' for name in names)}."] if names else []


def _dashed(argument: str) -> str:
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value if name.startswith("--") else argument
