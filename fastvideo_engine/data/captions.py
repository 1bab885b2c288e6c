"""Captions as the text encoder sees them, kept on the disk: each distinct one is encoded once and found by its text."""

import gc
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from fastvideo_engine.components import encode_captions, load_text_encoder
from fastvideo_engine.errors import DataError
from fastvideo_engine.run_folder import RunFolder, forget_folder, write_whole

EMPTY = ""
_AT_ONCE = 64  # between two looks at the wish to stop
_EMBEDDING = "text_embedding"


def not_yet_encoded(folder: RunFolder, captions: Sequence[str]) -> list[str]:
    """Return the distinct captions that have no embedding in the run folder yet, shortest first."""
    missing = [caption for caption in dict.fromkeys(captions) if not _file_of(folder, caption).exists()]
    # Those of a length go together, so that little of a batch is padding.
    return sorted(missing, key=len)


def encode_to_disk(
    folder: RunFolder,
    captions: Sequence[str],
    model: Path,
    max_tokens: int,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Encode captions with a model's text encoder, until asked to stop, and free the encoder."""
    if not captions:
        return
    tokenizer, encoder = load_text_encoder(model, device, dtype)
    for start in range(0, len(captions), _AT_ONCE):
        if folder.stop_was_asked():
            break
        together = captions[start : start + _AT_ONCE]
        embeddings = encode_captions(together, tokenizer, encoder, max_tokens)
        for caption, embedding in zip(together, embeddings, strict=True):
            content = io.BytesIO()
            np.save(content, embedding.numpy())
            write_whole(_file_of(folder, caption), content.getvalue())
    del encoder
    _give_memory_back()


def embedding_of(folder: RunFolder, caption: str) -> np.ndarray:
    """Read the embedding LD of a caption that was encoded."""
    embedding: np.ndarray = np.load(_file_of(folder, caption))
    return embedding


def keep_empty_prompt(folder: RunFolder, model: str) -> None:
    """Store the embedding of the empty caption beside the data, where it outlives the other embeddings."""
    embedding = torch.from_numpy(embedding_of(folder, EMPTY))
    write_whole(folder.empty_prompt, save({_EMBEDDING: embedding}, metadata={"prompt": EMPTY, "model": model}))


def read_empty_prompt(parquet: Path) -> Tensor | None:
    """Read the float32 embedding LD of the empty caption that lies beside a dataset; None where there is none.

    A bucket is a folder within its dataset, so the file may also lie beside that.
    """
    for beside in (parquet, *parquet.parents[:2]):
        path = RunFolder(beside).empty_prompt
        if path.exists():
            try:
                with safe_open(path, framework="pt") as file:
                    embedding: Tensor = file.get_tensor(_EMBEDDING)
            except SafetensorError as error:
                raise DataError(f"{path} cannot be read ({error}); preprocess the clips again.") from None
            return embedding
    return None


def forget_embeddings(folder: RunFolder) -> None:
    """Remove the embeddings, once they are in Parquet."""
    forget_folder(_folder_of(folder))


def _give_memory_back() -> None:
    # UMT5-XXL takes 11 GB in half precision; the VAE and its activations need the room.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _folder_of(folder: RunFolder) -> Path:
    return folder.path / "text_embeddings"


def _file_of(folder: RunFolder, caption: str) -> Path:
    return _folder_of(folder) / f"{hashlib.sha256(caption.encode()).hexdigest()}.npy"
