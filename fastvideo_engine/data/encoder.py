"""Encode clips with Wan's VAE: the numbers of diffusers' own `encode` from the same weights, in less time.

Where the time of the plain encoder goes on a CPU (480p, 16 channels): a half into convolutions, whose layout costs them
half of their speed or more and of which small ones end up in a kernel that is slower still; a quarter into the norms
before them, which walk across channels that lie a frame apart; the rest into padding, joining and copying, each into
fresh memory. Here channels lie side by side, each convolution keeps a buffer in which the frames before are already in
place, the norm writes into it, and the convolution pads the sides by itself.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from importlib.util import find_spec

import torch
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import (
    WanCausalConv3d,
    WanEncoder3d,
    WanResample,
    WanResidualBlock,
    WanResidualDownBlock,
    WanRMS_norm,
    patchify,
)
from torch import Tensor, nn
from torch.nn import functional

_FRAMES_A_LATENT = 4
_FEWEST_FRAMES_OF_ROOM = 4
# The C library keeps freed blocks up to this size; larger ones come page by page from the kernel each time.
_CPU_TENSOR_BYTES = 32 * 2**20
# All buffers and what is under way come to about 12 of the widest tensor, so to about a third of what is free.
_SHARE_OF_FREE_CUDA_MEMORY = 1 / 36
_MOST_KERNELS = 256  # one for each size and width in the VAE, some twenty a clip size; PyTorch gives up after 8

_Step = Callable[[Tensor], Tensor]
_Norm = Callable[[Tensor, Tensor, Tensor], None]


@torch.inference_mode()
def encode_clip(vae: AutoencoderKLWan, frames: Tensor, tensor_bytes: int | None = None) -> Tensor:
    """Return the mean of the latents BCTHW for frames BCTHW, uint8 or floats between -1 and 1, in the VAE's precision.

    `tensor_bytes` is the largest tensor to make where that can be chosen; without it, what suits the device.
    """
    if frames.device.type == "cpu" and len(frames) > 1:
        return torch.cat([encode_clip(vae, clip, tensor_bytes) for clip in torch.split(frames, 1)])
    levels = list(_levels(vae.encoder))
    most_numbers = (tensor_bytes or _tensor_bytes(vae.device)) // vae.dtype.itemsize  # in a tensor
    outputs = []
    for chunk in _chunks(frames, _chunk_length(vae, frames, most_numbers)):
        x = chunk.to(vae.device)
        x = patchify(x.contiguous(), vae.config.patch_size) if vae.config.patch_size else x
        for level in levels:
            x = level(x, most_numbers)
        outputs.append(x)
    mean: Tensor = vae.quant_conv(torch.cat(outputs, dim=2).contiguous()).chunk(2, dim=1)[0]
    return mean


def _tensor_bytes(device: torch.device) -> int:
    if device.type != "cuda":
        return _CPU_TENSOR_BYTES
    return int(torch.cuda.mem_get_info(device)[0] * _SHARE_OF_FREE_CUDA_MEMORY)


def _chunks(frames: Tensor, length: int) -> Iterator[Tensor]:
    yield frames[:, :, :1]  # the first frame has a latent of its own
    if frames.shape[2] > 1:
        # As in diffusers, frames beyond the last whole latent are left out.
        whole = 1 + (frames.shape[2] - 1) // _FRAMES_A_LATENT * _FRAMES_A_LATENT
        yield from torch.split(frames[:, :, 1:whole], length, dim=2)


def _chunk_length(vae: AutoencoderKLWan, frames: Tensor, most_numbers: int) -> int:
    batch, _, _, height, width = frames.shape
    pixels = height * width // (vae.config.patch_size or 1) ** 2
    in_a_frame: int = batch * vae.encoder.conv_in.out_channels * pixels
    return max(1, most_numbers // in_a_frame // _FRAMES_A_LATENT) * _FRAMES_A_LATENT


class _Level:
    """The steps between two reductions of the picture's size, and the last of these reductions.

    A chunk goes through in pieces where its tensors would be too large.
    """

    def __init__(self, steps: Sequence[_Step], width: int, halves_time: bool, shortcut: nn.Module | None = None):
        self._steps = steps
        self._width = width
        self._fewest = 2 if halves_time else 1
        self._shortcut = shortcut

    def __call__(self, x: Tensor, most_numbers: int) -> Tensor:
        in_a_frame = len(x) * self._width * math.prod(x.shape[-2:])
        at_once = max(1, most_numbers // in_a_frame // self._fewest) * self._fewest
        done = [self._through(piece) for piece in torch.split(x, at_once, dim=2)]
        return done[0] if len(done) == 1 else torch.cat(done, dim=2)

    def _through(self, x: Tensor) -> Tensor:
        given = x
        for step in self._steps:
            x = step(x)
        return x if self._shortcut is None else x + self._shortcut(given.contiguous())


def _levels(encoder: WanEncoder3d) -> Iterator[_Level]:
    """Go through an encoder's modules, each wrapped for as long as one clip is encoded."""
    steps: list[_Step] = [_CausalConvolution(encoder.conv_in)]
    width = encoder.conv_in.out_channels
    for block in encoder.down_blocks:
        if isinstance(block, WanResidualDownBlock):  # the VAE of Wan 2.2's 5B: a level a block
            if steps:
                yield _Level(steps, width, halves_time=False)
            width = block.resnets[-1].out_dim
            steps = [_Residual(each) for each in block.resnets]
            down = block.downsampler
            steps += [] if down is None else [_Downsampling(down)]
            yield _Level(steps, width, down is not None and down.mode == "downsample3d", block.avg_shortcut)
            steps = []
        elif isinstance(block, WanResample):
            yield _Level([*steps, _Downsampling(block)], block.dim, block.mode == "downsample3d")
            steps = []
        else:
            steps.append(_Residual(block))
            width = block.out_dim
    middle = encoder.mid_block
    steps.append(_Residual(middle.resnets[0]))
    for attention, residual in zip(middle.attentions, middle.resnets[1:], strict=True):
        steps += [attention, _Residual(residual)]
    yield _Level([*steps, _CausalConvolution(encoder.conv_out, encoder.norm_out)], width, halves_time=False)


class _Residual:
    def __init__(self, block: WanResidualBlock):
        self._first = _CausalConvolution(block.conv1, block.norm1)
        self._second = _CausalConvolution(block.conv2, block.norm2)
        self._shortcut = _Convolution(block.conv_shortcut) if isinstance(block.conv_shortcut, nn.Conv3d) else None

    def __call__(self, x: Tensor) -> Tensor:
        shortcut = x if self._shortcut is None else self._shortcut(x)
        return self._second(self._first(x)).add_(shortcut)


class _Downsampling:
    """Halve height and width, and the frames after the very first where the module does."""

    def __init__(self, module: WanResample):
        flat = module.resample[1]
        # The module pads right and below only, which no kernel does by itself; a row and a column of zeros in the
        # weights instead, and padding on all sides, give the same without a copy of the frames.
        weight = functional.pad(flat.weight, (1, 0, 1, 0)).unsqueeze(2)
        self._in_space = partial(
            _convolved, weight=_laid_out(weight), bias=flat.bias, stride=(1, 2, 2), padding=(0, 1, 1)
        )
        self._in_time = _Convolution(module.time_conv) if module.mode == "downsample3d" else None
        self._memory = _Memory(looks_back=1)
        self._has_begun = False

    def __call__(self, x: Tensor) -> Tensor:
        x = self._in_space(x)
        if self._in_time is None:
            return x
        fresh, window = self._memory.make_room(x, x.shape[1])
        fresh.copy_(x)
        is_first, self._has_begun = not self._has_begun, True
        return x if is_first else self._in_time(window)


class _Convolution:
    def __init__(self, conv: nn.Conv3d):
        sides = conv._padding[3::-2] if isinstance(conv, WanCausalConv3d) else conv.padding[1:]
        self.channels = conv.in_channels
        self._convolved = partial(
            _convolved,
            weight=_laid_out(conv.weight),
            bias=conv.bias,
            stride=tuple(conv.stride),
            padding=(0, *(int(side) for side in sides)),
        )

    def __call__(self, x: Tensor) -> Tensor:
        return self._convolved(x)


class _CausalConvolution(_Convolution):
    """A convolution over each frame and the two before it, after its norm and SiLU where it has them."""

    def __init__(self, conv: WanCausalConv3d, norm: WanRMS_norm | None = None):
        super().__init__(conv)
        self._memory = _Memory(looks_back=2)
        self._gamma = None if norm is None else (norm.gamma.float().flatten() * norm.scale)
        self._dtype = conv.weight.dtype

    def __call__(self, x: Tensor) -> Tensor:
        fresh, window = self._memory.make_room(x, self.channels, self._dtype)
        if self._gamma is not None:
            _norm_for(x.device)(_channels_last(x), self._gamma, _channels_last(fresh))
        elif x.dtype == torch.uint8:
            fresh.copy_(x).div_(255).mul_(2).sub_(1)
        else:
            fresh.copy_(x)
        return super().__call__(window)


class _Memory:
    """The frames a convolution looks back at, zeros at first, and after them room for those that come."""

    def __init__(self, looks_back: int):
        self._looks_back = looks_back
        self._held: Tensor | None = None  # BTHWC
        self._end = looks_back

    def make_room(self, x: Tensor, channels: int, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor]:
        """Return room for as many frames as x BCTHW has, and a view of it that begins with the frames before them."""
        batch, _, frames, height, width = x.shape
        if self._held is None or self._end + frames > self._held.shape[1]:
            # Moving the frames that are looked back at to the front each time would cost a copy of them.
            before = 0 if self._held is None else self._held[:, self._end - self._looks_back : self._end].clone()
            length = self._looks_back + max(frames, _FEWEST_FRAMES_OF_ROOM)
            if self._held is None or self._held.shape[1] < length:
                self._held = x.new_empty((batch, length, height, width, channels), dtype=dtype)
            self._held[:, : self._looks_back] = before
            self._end = self._looks_back
        begin, self._end = self._end, self._end + frames
        window = self._held[:, begin - self._looks_back : self._end].permute(0, 4, 1, 2, 3)
        return window[:, :, self._looks_back :], window


def normed_and_activated(x: Tensor, gamma: Tensor, out: Tensor) -> None:
    """Write the SiLU of x over its length, times gamma, for each pixel's channels, the last axis."""
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32).clamp_min_(1e-12)
    if x.dtype == torch.float32:
        torch.div(x, norm, out=out)
        functional.silu(out.mul_(gamma), inplace=True)
    else:
        out.copy_(functional.silu(x / norm * gamma))


def _norm_for(device: torch.device) -> _Norm:
    # Compiled, one kernel reads and writes each number once; Triton comes with PyTorch's CUDA builds where it exists.
    return normed_and_activated if device.type != "cuda" or find_spec("triton") is None else compiled_norm


def compiled_norm(x: Tensor, gamma: Tensor, out: Tensor) -> None:
    """Do as `normed_and_activated` does, compiled at the first call for each shape."""
    with torch._dynamo.config.patch(recompile_limit=_MOST_KERNELS):
        _compiled()(x, gamma, out)


@cache
def _compiled() -> _Norm:
    return torch.compile(normed_and_activated, dynamic=False)


@cache
def _has_onednn() -> bool:
    return bool(torch._C._has_mkldnn) and torch.backends.cpu.get_cpu_capability().startswith("AVX")


def _convolved(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, ...], padding: tuple[int, ...]
) -> Tensor:
    if x.device.type == "cpu" and _has_onednn():
        # Left to itself PyTorch gives small frames to a kernel that is up to ten times as slow.
        result: Tensor = torch.mkldnn_convolution(x, weight, bias, padding, stride, (1, 1, 1), 1)
        return result
    return functional.conv3d(x, weight, bias, stride, padding)


def _laid_out(weight: Tensor) -> Tensor:
    return weight.detach().contiguous(memory_format=torch.channels_last_3d)


def _channels_last(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 4, 1)
