"""Build a Wan model of random weights in the diffusers format, small enough for a laptop, to try the studio with."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

_SEED = 7
_TEXT_WIDTH = 64
_SPECIAL = ("<pad>", "</s>", "<unk>")  # in T5's order, so that their numbers are T5's


def run(folder: Path) -> None:
    """Write the model where a command line asks for it."""
    build(folder)


def build(folder: Path) -> None:
    """Write the model to a folder, which is there only once it is whole; the same weights each time."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(_SEED)
        tokenizer = tokenizer_of([])
        pipeline = WanPipeline(
            tokenizer=tokenizer,
            text_encoder=_text_encoder(len(tokenizer)),
            vae=_vae(),
            scheduler=UniPCMultistepScheduler(
                prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0, num_train_timesteps=1000
            ),
            transformer=_transformer(),
        )
    try:
        pipeline.save_pretrained(beside)
        beside.replace(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def tokenizer_of(words: Sequence[str]) -> PreTrainedTokenizerFast:
    """Make a tokenizer of some words, of characters for others and of bytes for the rest, so that it takes any text."""
    characters = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    pieces = [
        *_SPECIAL,
        "▁",
        *characters,
        *(f"▁{word}" for word in words if f"▁{word}" not in characters),
        *(f"<0x{byte:02X}>" for byte in range(256)),
    ]
    tokenizer = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=2, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    tokenizer.post_processor = processors.TemplateProcessing("$A </s>", "$A </s> $B </s>", [("</s>", 1)])
    pad, end, unknown = _SPECIAL
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=pad, eos_token=end, unk_token=unknown, model_max_length=512
    )


def _text_encoder(vocabulary: int) -> UMT5EncoderModel:
    config = UMT5Config(
        vocab_size=vocabulary, d_model=_TEXT_WIDTH, d_kv=16, d_ff=128, num_layers=2, num_heads=4, dropout_rate=0.0
    )
    return UMT5EncoderModel(config)


def _transformer() -> WanTransformer3DModel:
    return WanTransformer3DModel(
        num_attention_heads=4, attention_head_dim=32, text_dim=_TEXT_WIDTH, freq_dim=64, ffn_dim=256, num_layers=3
    )


def _vae() -> AutoencoderKLWan:
    """Make a VAE whose latents and pictures vary as much as real ones: random weights alone give flat grey."""
    vae = AutoencoderKLWan(base_dim=8, num_res_blocks=1)  # with the published means and deviations of the latents
    latents = vae.encode(_film()).latent_dist.mean
    mean, std = (torch.tensor(values) for values in (vae.config.latents_mean, vae.config.latents_std))
    _give_spread(vae.quant_conv, latents, mean, std)
    noise = torch.randn_like(latents) * std.view(-1, 1, 1, 1) + mean.view(-1, 1, 1, 1)
    _give_spread(vae.decoder.conv_out, vae.decode(noise).sample, torch.zeros(3), torch.full((3,), 0.5))
    return vae


def _give_spread(layer: nn.Conv3d, output: Tensor, mean: Tensor, std: Tensor) -> None:
    """Scale a last layer so that the channels BCTHW it gave as output get this mean and deviation."""
    factor = std / output.std((0, 2, 3, 4))
    weight, bias = (parameter[: len(mean)] for parameter in layer.parameters())
    weight *= factor.view(-1, 1, 1, 1, 1)
    bias.copy_((bias - output.mean((0, 2, 3, 4))) * factor + mean)


def _film() -> Tensor:
    """Draw a short film BCTHW of coloured waves."""
    time, down, across = torch.meshgrid(*(torch.linspace(0, 1, steps) for steps in (17, 64, 96)), indexing="ij")
    return torch.stack([torch.sin(9 * across + 5 * down + 6 * time + phase) for phase in (0, 2, 4)]).unsqueeze(0)
