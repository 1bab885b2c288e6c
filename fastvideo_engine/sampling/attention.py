"""Let a transformer attend to a video as its weights were trained to."""

from dataclasses import dataclass
from pathlib import Path

from diffusers import WanTransformer3DModel

from fastvideo_engine.attention.fastest import Way, fastest_way
from fastvideo_engine.attention.stored import StoredGates, gates, gates_of_adapter, gates_of_transformer, put_gates
from fastvideo_engine.attention.wan import add_sparse_attention, set_sparsity
from fastvideo_engine.errors import SpecError
from fastvideo_engine.specs.generate import GenerateSpec


@dataclass(frozen=True)
class SparseAttention:
    """How a transformer attends sparsely, and the gates that it has without its adapter and with it."""

    transformer: WanTransformer3DModel
    way: Way
    of_base: StoredGates
    of_adapter: StoredGates | None

    def set_strength(self, strength: float) -> None:
        """Weigh the adapter's gates: 0 is those of the base, 1 the adapter's."""
        put_gates(self.transformer, self.of_base)
        if self.of_adapter is not None:
            put_gates(self.transformer, self.of_adapter, strength)


def attend_as_trained(
    transformer: WanTransformer3DModel, weights: Path, adapter: Path | None, spec: GenerateSpec
) -> SparseAttention | None:
    """Attend sparsely where the folder of weights or the adapter has the gates for it; return None where neither has.

    The adapter's gates are put in once its strength is set.
    """
    of_model = gates_of_transformer(weights)
    of_adapter = None if adapter is None else gates_of_adapter(adapter)
    newest = of_adapter or of_model
    if newest is None:
        return None
    sparsity = newest.sparsity if spec.sparsity is None else spec.sparsity
    if sparsity is None:
        raise SpecError(
            f"{newest.source} has the gates of sparse attention and does not say how sparse it was trained to be; "
            "set the sparsity, such as 0.8."
        )
    way = fastest_way(transformer.device, transformer.dtype, transformer.config.attention_head_dim)
    add_sparse_attention(transformer, way)
    set_sparsity(transformer, sparsity)
    fresh = {name: gate.detach().clone() for name, gate in gates(transformer).items()}
    return SparseAttention(transformer, way, of_model or StoredGates(weights, fresh, None), of_adapter)
