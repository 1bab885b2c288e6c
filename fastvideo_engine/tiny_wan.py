"""Put the bundled model together from a trained VAE, before and after its transformer is trained."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLWan,
    UniPCMultistepScheduler,
    WanImageToVideoPipeline,
    WanPipeline,
    WanTransformer3DModel,
)
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel, UMT5Config, UMT5EncoderModel

from fastvideo_engine.errors import SpecError
from fastvideo_engine.run_folder import forget_folder
from fastvideo_engine.small_model import tokenizer_of
from fastvideo_engine.world.scenes import BACKGROUNDS, COLOURS, EFFECTS, MOTIONS, SHAPES

_SEED = 11
_CARD = "README.md"
_TEXT_WIDTH = 128
_IMAGE_WIDTH = 128
_IMAGE_SIZE = 64
_SHAPE = {"num_attention_heads": 4, "attention_head_dim": 64, "ffn_dim": 1024, "num_layers": 5, "freq_dim": 128}


def run(vae: Path | None, widen: Path | None, start: Path | None, transformer: Path | None, out: Path) -> None:
    """Write the model that the arguments ask for."""
    if vae is not None:
        build_start(vae, out)
    elif widen is not None:
        build_image_start(widen, out)
    elif start is not None and transformer is not None:
        finish(start, transformer, out)
    else:
        raise SpecError("Say what to begin with: --vae, --widen, or --start with --transformer.")
    print(f"Wrote {out}.")


def build_start(vae: Path, out: Path) -> None:
    """Write a text-to-video model around a trained VAE; all else has random weights, the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        tokenizer = tokenizer_of(_words())
        pipeline = WanPipeline(
            tokenizer=tokenizer,
            text_encoder=_text_encoder(len(tokenizer)),
            vae=AutoencoderKLWan.from_pretrained(vae),
            scheduler=UniPCMultistepScheduler(
                prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0, num_train_timesteps=1000
            ),
            transformer=WanTransformer3DModel(**_SHAPE, text_dim=_TEXT_WIDTH),
        )
    _write(pipeline, out)


def build_image_start(text_to_video: Path, out: Path) -> None:
    """Write an image-to-video model that begins with the weights of a trained text-to-video one."""
    source = WanPipeline.from_pretrained(text_to_video)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        transformer = WanTransformer3DModel(
            **_SHAPE, text_dim=_TEXT_WIDTH, in_channels=36, image_dim=_IMAGE_WIDTH, added_kv_proj_dim=256
        )
        image_encoder = _image_encoder()
    _begin_as(transformer, source.transformer)
    pipeline = WanImageToVideoPipeline(
        tokenizer=source.tokenizer,
        text_encoder=source.text_encoder,
        vae=source.vae,
        scheduler=source.scheduler,
        image_processor=CLIPImageProcessor(
            size={"shortest_edge": _IMAGE_SIZE}, crop_size={"height": _IMAGE_SIZE, "width": _IMAGE_SIZE}
        ),
        image_encoder=image_encoder,
        transformer=transformer,
    )
    _write(pipeline, out)


def finish(start: Path, transformer: Path, out: Path) -> None:
    """Write the model that a training began with, with the transformer that it ended with."""
    kind = WanImageToVideoPipeline if (start / "image_encoder").is_dir() else WanPipeline
    pipeline = kind.from_pretrained(start, transformer=WanTransformer3DModel.from_pretrained(transformer))
    _write(pipeline, out)


def _words() -> Sequence[str]:
    """List the words that captions of the small world are made of; any other text is spelt out."""
    phrases = " ".join(EFFECTS.values()).replace("{shape}", "").replace("{background}", "").split()
    named = [*COLOURS, *SHAPES, *BACKGROUNDS, *MOTIONS]
    return list(dict.fromkeys(["a", "an", "moving", "on", "background", *named, *phrases]))


def _text_encoder(vocabulary: int) -> UMT5EncoderModel:
    config = UMT5Config(
        vocab_size=vocabulary, d_model=_TEXT_WIDTH, d_kv=32, d_ff=256, num_layers=2, num_heads=4, dropout_rate=0.0
    )
    return UMT5EncoderModel(config)


def _image_encoder() -> CLIPVisionModel:
    config = CLIPVisionConfig(
        hidden_size=_IMAGE_WIDTH,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=_IMAGE_SIZE,
        patch_size=16,
    )
    return CLIPVisionModel(config)


@torch.no_grad()
def _begin_as(transformer: WanTransformer3DModel, trained: WanTransformer3DModel) -> None:
    """Copy all weights that both have; the image's channels begin at zero, attention to its features at random."""
    weights = trained.state_dict()
    patches = transformer.patch_embedding.weight
    known = weights.pop("patch_embedding.weight")
    patches.zero_()
    patches[:, : known.shape[1]] = known
    transformer.load_state_dict(weights, strict=False)


def _write(pipeline: WanPipeline | WanImageToVideoPipeline, out: Path) -> None:
    beside = out.with_name(f".{out.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    pipeline.to(torch.float16).save_pretrained(beside)
    for config in beside.glob("*/config.json"):
        settings = json.loads(config.read_text(encoding="utf-8"))
        settings.pop("_name_or_path", None)  # where the part lay while it was trained
        config.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    if (out / _CARD).exists():  # what is said of a model outlives its weights
        shutil.copy(out / _CARD, beside)
    forget_folder(out)
    beside.replace(out)
