"""Captions as the text encoder sees them, kept on the disk: each distinct one is encoded once and found by its text."""

import gc
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from fastvideo_engine.components import encode_captions, load_text_encoder
from fastvideo_engine.run_folder import RunFolder, forget_folder, write_whole

_AT_ONCE = 64  # between two looks at the wish to stop


def not_yet_encoded(folder: RunFolder, captions: Sequence[str]) -> list[str]:
    """Return the distinct captions that have no embedding in the run folder yet, in their order."""
    return [caption for caption in dict.fromkeys(captions) if not _file_of(folder, caption).exists()]


def encode_to_disk(
    folder: RunFolder, captions: Sequence[str], model: Path, max_tokens: int, device: torch.device
) -> None:
    """Encode captions with a model's text encoder, until asked to stop, and free the encoder."""
    if not captions:
        return
    tokenizer, encoder = load_text_encoder(model, device)
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
