"""The videos that a run samples time and again, of prompts that may be edited meanwhile."""

from dataclasses import dataclass, field
from pathlib import Path

from diffusers import WanImageToVideoPipeline, WanPipeline, WanTransformer3DModel
from torch import nn

from fastvideo_engine.data.loader import ParquetClips
from fastvideo_engine.distributed import Ranks
from fastvideo_engine.errors import EngineError, SpecError
from fastvideo_engine.events import EventSink, Note, Phase
from fastvideo_engine.families import Family
from fastvideo_engine.run_folder import RunFolder
from fastvideo_engine.sampling.pipeline import Sampler, new_pipeline
from fastvideo_engine.sampling.shots import EncodedShot, Shot, encode_shots
from fastvideo_engine.specs.train import TrainSpec, Validation
from fastvideo_engine.training.tuning import load_frozen
from fastvideo_engine.training.validation import edited, wanted_shots


@dataclass
class Videos:
    """What is to be sampled, encoded once and again only when it was edited."""

    spec: TrainSpec
    folder: RunFolder
    clips: ParquetClips
    model: Path
    family: Family
    ranks: Ranks
    events: EventSink
    _wanted: list[Shot] | None = None
    _shots: list[EncodedShot] = field(default_factory=list)
    _pipeline: WanPipeline | WanImageToVideoPipeline | None = None

    def look_again(self) -> None:
        """Encode what is wanted now, unless it is what was wanted before; an edit that does not hold is only said."""
        # The first process alone reads: a file that is written meanwhile would be two for two readers.
        wanted = self.ranks.value_of_first(self._read() if self.ranks.is_first else [])
        if wanted == self._wanted:
            return
        try:
            self._shots, self._wanted = self._encoded(wanted), wanted
        except EngineError as error:
            if self._wanted is None:
                raise
            self._say_they_stay(error)

    def sampler(self, trained: nn.ModuleDict) -> Sampler | None:
        """Return what samples the videos that are wanted now; None when there are none."""
        self.look_again()
        if not self._shots:
            return None
        from_images = self._shots[0].image is not None
        if self._pipeline is None or isinstance(self._pipeline, WanImageToVideoPipeline) != from_images:
            transformers = self._transformers(trained)
            self._pipeline = new_pipeline(self.model, self.family, transformers, None, from_images, self.ranks.device)
        return Sampler(self._pipeline, self._shots)

    def _transformers(self, trained: nn.ModuleDict) -> dict[str, WanTransformer3DModel]:
        others = [part for part in self.family.transformers if part not in trained]
        loaded = {part: load_frozen(self.model, part, self.spec, self.ranks) for part in others}
        return {**trained, **loaded}

    def _read(self) -> list[Shot]:
        own = self.spec.validation
        try:
            return self._shots_of(edited(own, self.folder))
        except SpecError as error:
            if not self.folder.edited_validation.exists():
                raise
            self._say_they_stay(error)
        return self._shots_of(own) if self._wanted is None else self._wanted

    def _shots_of(self, validation: Validation) -> list[Shot]:
        return wanted_shots(self.clips, self.spec, validation, self.model, self.family)

    def _say_they_stay(self, error: EngineError) -> None:
        self.events.write(Note(text=f"The validation prompts stay as they were: {error}"))

    def _encoded(self, wanted: list[Shot]) -> list[EncodedShot]:
        if not wanted:
            return []
        self.events.write(Phase(title="Encoding the validation prompts"))
        negative = self.spec.validation.negative_prompt
        return encode_shots(wanted, negative, self.model, self.family, self.ranks.device)
