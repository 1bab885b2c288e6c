"""Find a model in the diffusers format, and load and place its parts."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import diffusers
import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKLWan, SchedulerMixin, WanTransformer3DModel
from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoTokenizer, CLIPVisionModel, PreTrainedTokenizerBase, UMT5EncoderModel

from fastvideo_engine.errors import ModelError
from fastvideo_engine.families import family_of_folder
from fastvideo_engine.specs.base import is_folder

ENCODERS = ("vae", "text_encoder", "image_encoder")
"""The parts whose weights preprocessing needs."""
_WEIGHTS_TO_TRAIN_AND_SAMPLE = (
    "transformer",
    "transformer_2",
    "vae",
    "text_encoder",
    "image_encoder",
)  # of those that there are
_CAPTIONS_AT_ONCE = 16
# What diffusers, transformers and safetensors raise when files are missing, cut off, or of another model.
_UNREADABLE = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError)

Loaded = TypeVar("Loaded")


def model_folder(model: str, weights: Sequence[str] = _WEIGHTS_TO_TRAIN_AND_SAMPLE) -> Path:
    """Return the folder of a model, fetching a Hugging Face id first with the weights of some of its parts.

    Raises `ModelError` when there is none.
    """
    folder = Path(model).expanduser() if is_folder(model) else _fetched(model, weights)
    family_of_folder(folder)
    return folder


def load_vae(folder: Path, device: torch.device, dtype: torch.dtype = torch.float32) -> AutoencoderKLWan:
    """Load the VAE, frozen; unless asked otherwise in float32: in half precision latents and frames differ visibly."""
    return _frozen(_model(folder, "vae", AutoencoderKLWan, dtype)).to(device)


def load_text_encoder(
    folder: Path, device: torch.device, dtype: torch.dtype | None = None
) -> tuple[PreTrainedTokenizerBase, UMT5EncoderModel]:
    """Load the tokenizer and the frozen text encoder, in half precision on a GPU unless asked otherwise."""
    if not (folder / "tokenizer").is_dir():  # which transformers would take for a hub id
        raise _damaged(folder, "tokenizer", "tokenizer/ is missing")
    tokenizer = _readable(folder, "tokenizer", lambda: AutoTokenizer.from_pretrained(folder / "tokenizer"))
    encoder = _model(folder, "text_encoder", UMT5EncoderModel, dtype or weights_dtype(device))
    return tokenizer, _frozen(encoder).to(device)


def load_image_encoder(folder: Path, device: torch.device) -> tuple[CLIPVisionModel, dict[str, Any]]:
    """Load the frozen CLIP of an image-to-video model in float32, and how its pictures are prepared."""
    path = folder / "image_processor" / "preprocessor_config.json"
    preparation = _readable(folder, "image_processor", lambda: json.loads(path.read_text(encoding="utf-8")))
    return _frozen(_model(folder, "image_encoder", CLIPVisionModel, torch.float32)).to(device), preparation


def load_transformer(
    folder: Path, device: torch.device, dtype: torch.dtype | None = None, part: str = "transformer"
) -> WanTransformer3DModel:
    """Load a frozen transformer, in half precision on a GPU unless asked otherwise.

    Diffusers keeps its norms and time embedding in float32.
    """
    return _frozen(_model(folder, part, WanTransformer3DModel, dtype or weights_dtype(device))).to(device)


def unloaded_transformer(folder: Path, part: str) -> WanTransformer3DModel:
    """Build a frozen transformer without weights, for a process that gets them from another."""
    settings = part_config(folder, part)
    with init_empty_weights(include_buffers=False):
        return _frozen(_readable(folder, part, lambda: WanTransformer3DModel.from_config(settings)))


def load_scheduler(folder: Path, flow_shift: float | None) -> SchedulerMixin:
    """Load the model's own sampler, with another flow shift where one is given."""
    settings = part_config(folder, "scheduler")
    # UniPC calls it flow_shift, the Euler sampler shift.
    field = "shift" if "shift" in settings else "flow_shift"
    changes = {} if flow_shift is None else {field: flow_shift}
    return _readable(
        folder, "scheduler", lambda: getattr(diffusers, settings["_class_name"]).from_config(settings, **changes)
    )


def part_config(folder: Path, part: str) -> dict[str, Any]:
    """Read the settings of one part without its weights."""
    name = "scheduler_config.json" if part == "scheduler" else "config.json"
    return _readable(folder, part, lambda: json.loads((folder / part / name).read_text(encoding="utf-8")))


@torch.no_grad()
def encode_captions(
    captions: Sequence[str], tokenizer: PreTrainedTokenizerBase, encoder: UMT5EncoderModel, max_tokens: int
) -> list[Tensor]:
    """Encode captions as they stand into float32 LD tensors on the CPU, L being each one's tokens with its `</s>`."""
    encoded: list[Tensor] = []
    for start in range(0, len(captions), _CAPTIONS_AT_ONCE):
        together = list(captions[start : start + _CAPTIONS_AT_ONCE])
        tokens = tokenizer(together, padding=True, truncation=True, max_length=max_tokens, return_tensors="pt")
        hidden = encoder(
            tokens.input_ids.to(encoder.device), tokens.attention_mask.to(encoder.device)
        ).last_hidden_state
        lengths = tokens.attention_mask.sum(dim=1).tolist()
        encoded += [row[:length].float().cpu() for row, length in zip(hidden, lengths, strict=True)]
    return encoded


def weights_dtype(device: torch.device) -> torch.dtype:
    """Return what frozen weights are held and computed in where nothing else is asked for."""
    return torch.bfloat16 if device.type == "cuda" else torch.float32


def padded(text: Tensor, length: int) -> Tensor:
    """Fill an embedding LD with rows of zeros, or cut it, to `length`: Wan was trained so, without a mask."""
    kept = text[:length]
    return torch.nn.functional.pad(kept, (0, 0, 0, length - len(kept)))


def latent_mean_std(vae_config: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Return the mean and the deviation of each latent channel, shaped 1C111 to go with BCTHW."""
    mean, std = (torch.tensor(vae_config[f"latents_{name}"], dtype=torch.float32) for name in ("mean", "std"))
    return mean.view(1, -1, 1, 1, 1), std.view(1, -1, 1, 1, 1)


def vae_fingerprint(folder: Path) -> str:
    """Hash what decides the VAE's latents, its settings and weights, so that data and model can be told to match."""
    settings = {name: value for name, value in part_config(folder, "vae").items() if not name.startswith("_")}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    weights = sorted((folder / "vae").glob("*.safetensors"))
    if not weights:
        raise _damaged(folder, "vae", "it has no .safetensors file")
    for file in weights:
        with file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def _fetched(model: str, weights: Sequence[str]) -> Path:
    # All settings, which are small; weights only of the parts asked for: a transformer alone may have 50 GB.
    patterns = ["*.json", "tokenizer/*", *(f"{part}/*.safetensors" for part in weights)]
    try:
        return Path(snapshot_download(model, allow_patterns=patterns))
    except GatedRepoError:
        cure = f"accept its terms at https://huggingface.co/{model} and log in with `hf auth login`"
        raise ModelError(f"{model} is only given to those who accepted its terms; {cure}.") from None
    except (RepositoryNotFoundError, HFValidationError):
        cure = "check the spelling, log in with `hf auth login` if it is private, or give a folder"
        raise ModelError(f"There is no model {model} on Hugging Face; {cure}.") from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        cure = "check the connection, or give the folder of a copy on this machine"
        raise ModelError(f"{model} could not be fetched from Hugging Face ({_first_line(error)}); {cure}.") from None


def _model(folder: Path, part: str, kind: type, dtype: torch.dtype) -> Any:
    def load() -> tuple[Any, dict[str, Any]]:
        # No pickled weights: a model folder may come from anyone.
        name = "dtype" if part.endswith("_encoder") else "torch_dtype"  # transformers' parts, and diffusers'
        settings = {name: dtype, "use_safetensors": True, "output_loading_info": True, "local_files_only": True}
        return kind.from_pretrained(folder / part, **settings)  # type: ignore[attr-defined, no-any-return]

    part_config(folder, part)  # transformers would go on with default settings where they are missing
    model, report = _readable(folder, part, load)
    # Both libraries only warn and go on with random weights.
    missing = sorted(map(str, report["missing_keys"])) + sorted(map(str, report["mismatched_keys"]))
    if missing:
        raise _damaged(folder, part, f"weights are missing or of another shape, such as {missing[0]}")
    return model


def _frozen(model: Any) -> Any:
    return model.requires_grad_(False).eval()


def _readable(folder: Path, part: str, read: Callable[[], Loaded]) -> Loaded:
    try:
        return read()
    except FileNotFoundError as error:
        raise _damaged(folder, part, f"{Path(error.filename or part).name} is missing") from None
    except _UNREADABLE as error:
        raise _damaged(folder, part, _first_line(error)) from None


def _damaged(folder: Path, part: str, reason: str) -> ModelError:
    return ModelError(f"The {part} of the model in {folder} cannot be read ({reason}); fetch the model again.")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
