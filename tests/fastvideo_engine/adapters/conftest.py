"""What the adapters' tests share: adapters that peft itself made, and what a transformer makes of one fixed point."""

import pytest
import torch
from diffusers import WanTransformer3DModel
from peft import LoraConfig
from peft.tuners.lora import LoraLayer

ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]


@pytest.fixture
def peft_wan(tiny_wan):
    """Load the small transformer with a LoRA of random weights that peft put there; none of our code is in it."""

    def make(folder=tiny_wan, targets=ATTENTION, **settings):
        transformer = WanTransformer3DModel.from_pretrained(folder / "transformer").requires_grad_(False)
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(2)
            transformer.add_adapter(LoraConfig(**{"r": 4, "lora_alpha": 8, "target_modules": targets} | settings))
            for name, weight in transformer.named_parameters():
                if "lora_" in name:
                    weight += 0.3 * torch.randn(weight.shape)
        return transformer

    return make


@pytest.fixture
def matrices():
    """List a peft transformer's own matrices by diffusers' layer names: A, B and what they are multiplied by."""

    def of(transformer):
        return {
            name: (layer.lora_A["default"].weight.detach(), layer.lora_B["default"].weight.detach(), layer.scaling)
            for name, layer in transformer.named_modules()
            if isinstance(layer, LoraLayer)
        }

    return of


@pytest.fixture
def velocity():
    """Ask a transformer for the velocity at one fixed point."""

    @torch.no_grad()
    def predict(transformer) -> torch.Tensor:
        generator = torch.Generator().manual_seed(3)
        latents = torch.randn(1, transformer.config.in_channels, 2, 8, 12, generator=generator)
        text = torch.randn(1, 16, 32, generator=generator)
        image = torch.randn(1, 257, 32, generator=generator) if transformer.config.image_dim else None
        latents, text = latents.to(transformer.dtype), text.to(transformer.dtype)
        return transformer(latents, torch.tensor([700.0]), text, encoder_hidden_states_image=image, return_dict=False)[
            0
        ].float()

    return predict
