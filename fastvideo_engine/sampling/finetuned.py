"""Find the folder of weights that each transformer of a model is loaded from: the base's, or a finetuned one."""

from collections.abc import Sequence
from pathlib import Path

from fastvideo_engine.components import part_config
from fastvideo_engine.errors import ModelError


def weights_folders(model: Path, parts: Sequence[str], finetuned: Path | None) -> dict[str, Path]:
    """Name the folder of each transformer of a model, a finetuned one's in place of the base's where it is given.

    Raises `ModelError` unless the finetuned one has the base's architecture.
    """
    folders = {part: model / part for part in parts}
    for part, folder in _finetuned_parts(finetuned, parts).items() if finetuned else ():
        _check_fits(folder, folders[part])
        folders[part] = folder
    return folders


def _finetuned_parts(path: Path, parts: Sequence[str]) -> dict[str, Path]:
    """Tell which transformers a folder holds: one, of two experts that which its name says, or each under its name."""
    if not path.is_dir():
        raise ModelError(f"There is no transformer folder at {path}; check the path.")
    if not (path / "config.json").is_file():
        found = {part: path / part for part in parts if (path / part / "config.json").is_file()}
        if not found:
            raise ModelError(
                f"{path} holds no transformer (it has no config.json); choose one that full training wrote, "
                "such as checkpoints/step-000100/transformer."
            )
        return found
    if len(parts) == 1:
        return {parts[0]: path}
    if path.name not in parts:
        raise ModelError(
            f"{path} does not say by its name which of two experts it is; call it {' or '.join(parts)}, "
            "or name the folder that holds both."
        )
    return {path.name: path}


def _check_fits(folder: Path, base: Path) -> None:
    ours, theirs = (part_config(path.parent, path.name) for path in (base, folder))
    # What only one of them says has a default that came with a later diffusers; what begins with _ is no architecture.
    differing = [
        name for name in ours.keys() & theirs.keys() if not name.startswith("_") and ours[name] != theirs[name]
    ]
    if differing:
        first = min(differing)
        raise ModelError(
            f"The transformer in {folder} does not fit the base model (its {first} is {theirs[first]}, the base's "
            f"{ours[first]}); choose the model that it was trained from."
        )
