"""Turn what a spec names as its source into a list of clips: each with an id, a caption and its side."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path, PurePosixPath

from fastvideo_engine.clip_rules import chance
from fastvideo_engine.data.listings import Listed, Row, in_hugging_face, in_list_or_folder, in_merged_folder
from fastvideo_engine.errors import DataError
from fastvideo_engine.specs.preprocess import HuggingFaceSource, MergedFolder, PreprocessSpec


@dataclass(frozen=True)
class Clip:
    """One listed video with one caption; the id is its name, made unique in the list.

    `caption` is what the list says, `text` what is encoded: the same, or empty where captions are left out. `problem`
    is what the list alone shows. Of a Hugging Face dataset `row` is the video's row and `path` only its name there.
    """

    id: str
    name: str
    path: Path
    caption: str
    text: str = ""
    problem: str | None = None
    is_held_out: bool = False
    row: Row | None = None


def clips_of(spec: PreprocessSpec) -> list[Clip]:
    """List the clips of a spec's source in its order; raise `DataError` when the list is missing or unreadable.

    The same spec and list give the same ids, captions and sides, however often; more clips change none of the others.
    """
    listed = list(_listed(spec))
    if not listed:
        raise DataError(f"{spec.source.path} lists no clips; add some.")
    if spec.captions.choice == "all":
        listed = [replace(each, captions=(caption,)) for each in listed for caption in each.captions or ("",)]
    clips = [_clip(each, name, spec) for each, name in zip(listed, _unique(each.name for each in listed), strict=True)]
    return _with_some_held_out(clips, spec)


def _listed(spec: PreprocessSpec) -> Iterator[Listed]:
    source = spec.source
    if isinstance(source, HuggingFaceSource):
        return in_hugging_face(source, spec.held_out.split)
    return (
        in_merged_folder(Path(source.path))
        if isinstance(source, MergedFolder)
        else in_list_or_folder(Path(source.path))
    )


def _clip(listed: Listed, name: str, spec: PreprocessSpec) -> Clip:
    caption = _chosen(listed.captions, name, spec)
    is_dropped = chance(spec.seed, "drop caption", name) < spec.captions.training_cfg_rate
    return Clip(
        id=name,
        name=listed.name,
        path=listed.path,
        caption=caption,
        text="" if is_dropped else caption,
        problem=listed.problem,
        is_held_out=listed.is_held_out,
        row=listed.row,
    )


def _chosen(captions: Sequence[str], clip_id: str, spec: PreprocessSpec) -> str:
    if not captions:
        return ""
    return captions[
        int(chance(spec.seed, "caption", clip_id) * len(captions)) if spec.captions.choice == "random" else 0
    ]


def _with_some_held_out(clips: list[Clip], spec: PreprocessSpec) -> list[Clip]:
    """Hold out a share of the videos; a share too small for the list still holds out one."""
    share = spec.held_out.share
    if share == 0:
        return clips
    # By the video and not by the clip: a model must not be judged on a video that it was trained on.
    luck = {str(clip.path): chance(spec.seed, "held out", clip.name) for clip in clips}
    threshold = max(share, min(luck.values()) * (1 + 1e-9)) if len(luck) > 1 else share
    return [replace(clip, is_held_out=clip.is_held_out or luck[str(clip.path)] < threshold) for clip in clips]


def _unique(names: Iterable[str]) -> Iterator[str]:
    # Numbered in the list's order, so that a restart gives every clip the id it had.
    taken: set[str] = set()
    for name in names:
        free = next(
            each for each in chain([name], (_numbered(name, number) for number in count(2))) if each not in taken
        )
        taken.add(free)
        yield free


def _numbered(name: str, number: int) -> str:
    path = PurePosixPath(name)
    return str(path.with_name(f"{path.stem} ({number}){path.suffix}")) if path.name else f"{name} ({number})"
