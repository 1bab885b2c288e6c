"""What preprocessing would leave out, told beforehand by its own rules."""

from pydantic import ValidationError

from app.forms import Settings
from fastvideo_engine.clip_rules import verdict_on
from fastvideo_engine.specs import PreprocessSpec
from worker.store import datasets
from worker.store.tables import Clip


def left_out(dataset_id: int, settings: Settings) -> list[tuple[str, str]] | None:
    """Name each clip of a dataset that these settings would leave out, and why; None when the settings do not hold."""
    try:
        spec = PreprocessSpec.model_validate(settings)
    except ValidationError:
        return None
    reasons = ((clip.name, _reason(clip, spec)) for clip in datasets.clips(dataset_id))
    return [(name, reason) for name, reason in reasons if reason]


def _reason(clip: Clip, spec: PreprocessSpec) -> str | None:
    facts = clip.facts
    if facts is None:
        return clip.problem
    verdict = verdict_on(clip.name, clip.caption, facts, spec)
    return verdict.reason if verdict else None
