"""A whole transformer in the diffusers format, written by the first process, gathered from all where it is sharded."""

import json
from pathlib import Path

import torch
from diffusers import WanTransformer3DModel
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors.torch import save_file

from fastvideo_engine.attention.stored import record_sparsity
from fastvideo_engine.distributed import Ranks, whole

_NAMES = "diffusion_pytorch_model{suffix}.safetensors"
_INDEX = "diffusion_pytorch_model.safetensors.index.json"
_LARGEST_FILE = 5 * 10**9


def write_transformer(transformer: WanTransformer3DModel, folder: Path, ranks: Ranks) -> None:
    """Write what diffusers loads: no more than one file's weights are ever together in memory."""
    weights = transformer.state_dict()
    sizes = {name: torch.empty(weight.shape, dtype=weight.dtype, device="meta") for name, weight in weights.items()}
    plan = split_torch_state_dict_into_shards(sizes, filename_pattern=_NAMES, max_shard_size=_LARGEST_FILE)
    for file, names in plan.filename_to_tensors.items():
        gathered = {}
        for name in names:
            weight = whole(weights[name])  # by all processes
            if ranks.is_first:
                gathered[name] = weight.cpu().contiguous()
        if ranks.is_first:
            folder.mkdir(parents=True, exist_ok=True)
            save_file(gathered, folder / file, {"format": "pt"})
    if not ranks.is_first:
        return
    if plan.is_sharded:
        index = {"metadata": plan.metadata, "weight_map": plan.tensor_to_filename}
        (folder / _INDEX).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    transformer.save_config(folder)
    record_sparsity(transformer, folder)
