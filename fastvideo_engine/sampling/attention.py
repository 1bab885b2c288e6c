"""Let a transformer attend to a video as its weights were trained to."""

from pathlib import Path

from diffusers import WanTransformer3DModel

from fastvideo_engine.attention.fastest import Way, fastest_way
from fastvideo_engine.attention.stored import gates_of_adapter, gates_of_transformer, put_gates
from fastvideo_engine.attention.wan import add_sparse_attention, set_sparsity
from fastvideo_engine.errors import SpecError
from fastvideo_engine.specs.generate import GenerateSpec


def attend_as_trained(
    transformer: WanTransformer3DModel, weights: Path, adapter: Path | None, spec: GenerateSpec
) -> Way | None:
    """Attend sparsely where the folder of weights or the adapter has the gates for it, and return how; None if not."""
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
    if of_model is not None:
        put_gates(transformer, of_model)
    if of_adapter is not None:
        put_gates(transformer, of_adapter, spec.strength)
    set_sparsity(transformer, sparsity)
    return way
