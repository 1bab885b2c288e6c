"""What image-to-video models are given of a clip's first frame: what CLIP sees in it, and its latent."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from diffusers import AutoencoderKLWan
from torch import Tensor
from torch.nn import functional
from transformers import CLIPVisionModel

from fastvideo_engine.components import latent_mean_std, load_image_encoder
from fastvideo_engine.data.encoder import encode_clip
from fastvideo_engine.data.frames import as_vae_input
from fastvideo_engine.data.parquet import FirstFrame
from fastvideo_engine.families import Family


@dataclass(frozen=True)
class ImageConditioner:
    """Encode first frames the way one model reads them."""

    image_encoder: CLIPVisionModel | None
    preparation: dict[str, Any]
    reads_first_frame_latent: bool

    @classmethod
    def of_model(cls, folder: Path, family: Family, device: torch.device) -> Self:
        """Load what a model needs for it, which may be nothing."""
        encoder, preparation = load_image_encoder(folder, device) if family.has_image_encoder else (None, {})
        return cls(encoder, preparation, family.reads_first_frame_latent)

    def encode(self, frames: Tensor, vae: AutoencoderKLWan) -> FirstFrame:
        """Encode the first of a clip's frames TCHW uint8, which are on the CPU."""
        seen, latent = None, None
        if self.image_encoder is not None:
            seen = clip_feature(frames[0], self.image_encoder, self.preparation).numpy()
        if self.reads_first_frame_latent:
            latent = first_frame_latent(frames, vae).numpy()
        return FirstFrame(clip_feature=seen, latent=latent)


@torch.inference_mode()
def clip_feature(picture: Tensor, image_encoder: CLIPVisionModel, preparation: dict[str, Any]) -> Tensor:
    """Return what CLIP's last layer but one makes of a picture CHW uint8, as float32 LD on the CPU."""
    prepared = prepared_for_clip(picture, preparation).to(image_encoder.device)
    layers: tuple[Tensor, ...] = image_encoder(prepared, output_hidden_states=True).hidden_states
    return layers[-2][0].float().cpu()


def prepared_for_clip(picture: Tensor, preparation: dict[str, Any]) -> Tensor:
    """Resize a picture CHW uint8 by its shorter side, cut out the middle and normalise it, as BCHW float32."""
    height, width = picture.shape[-2:]
    shorter, crop = preparation["size"]["shortest_edge"], preparation["crop_size"]
    scaled = [shorter, int(shorter * width / height)] if height <= width else [int(shorter * height / width), shorter]
    # On bytes and not on floats: what Wan's features were trained on is rounded here.
    resized = functional.interpolate(picture[None], size=scaled, mode="bicubic", align_corners=False, antialias=True)
    top, left = (scaled[0] - crop["height"]) // 2, (scaled[1] - crop["width"]) // 2
    cut = resized[..., top : top + crop["height"], left : left + crop["width"]]
    mean, std = (torch.tensor(preparation[f"image_{name}"]).view(1, 3, 1, 1) for name in ("mean", "std"))
    return (cut.float() / 255 - mean) / std


@torch.inference_mode()
def first_frame_latent(frames: Tensor, vae: AutoencoderKLWan) -> Tensor:
    """Encode the first of the frames TCHW uint8, the others being grey, to the normalised float32 latent CTHW."""
    first = as_vae_input(frames[:1].to(vae.device))
    grey = first.new_zeros(1, 3, len(frames) - 1, *first.shape[-2:])
    mean, std = (each.to(vae.device) for each in latent_mean_std(vae.config))
    latent = encode_clip(vae, torch.cat([first, grey], dim=2)).float()
    return ((latent - mean) / std)[0].cpu()
