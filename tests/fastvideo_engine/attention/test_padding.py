"""Computing the padding of the text once changes the work, not the numbers."""

import pytest
import torch
from diffusers import WanTransformer3DModel
from torch import Tensor

from fastvideo_engine.attention.padding import attend_to_padding_once

_LENGTHS = (3, 1, 16, 9)  # rows of text of 16; the third has no padding


def _model(with_image: bool) -> WanTransformer3DModel:
    torch.manual_seed(0)
    image = {"in_channels": 36, "image_dim": 12, "added_kv_proj_dim": 32} if with_image else {}
    return WanTransformer3DModel(
        num_attention_heads=2, attention_head_dim=16, text_dim=12, freq_dim=32, ffn_dim=64, num_layers=2, **image
    ).double()


def _inputs(model: WanTransformer3DModel, length: int) -> dict[str, Tensor]:
    text = torch.randn(len(_LENGTHS), length, 12, dtype=torch.float64)
    for caption, rows in zip(text, _LENGTHS, strict=True):
        caption[rows if rows < 16 else length :] = 0
    latents = torch.randn(len(_LENGTHS), model.config.in_channels, 2, 4, 4, dtype=torch.float64)
    inputs = {"hidden_states": latents, "timestep": torch.rand(len(_LENGTHS)) * 1000, "encoder_hidden_states": text}
    if model.config.image_dim:
        inputs["encoder_hidden_states_image"] = torch.randn(len(_LENGTHS), 5, 12, dtype=torch.float64)
    return inputs


@pytest.mark.parametrize(("with_image", "length"), [(False, 16), (False, 512), (True, 512)])
def test_output_and_gradients_are_those_of_diffusers(with_image: bool, length: int) -> None:
    plain, quick = _model(with_image), _model(with_image)
    attend_to_padding_once(quick)
    inputs = _inputs(plain, length)
    outputs = [model(**inputs, return_dict=False)[0] for model in (plain, quick)]
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-9, atol=1e-9)
    for output in outputs:
        output.square().sum().backward()
    for (name, ours), theirs in zip(quick.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-7, atol=1e-9, msg=name)


def test_the_padding_is_not_computed() -> None:
    model = _model(with_image=False)
    attend_to_padding_once(model)
    rows = []
    model.blocks[0].attn2.to_k.register_forward_hook(lambda _layer, given, _out: rows.append(given[0].shape[1]))
    inputs = _inputs(model, 512)
    inputs["encoder_hidden_states"][2, 12:] = 0
    model(**inputs)
    assert rows == [13]
