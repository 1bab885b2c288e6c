"""What the engine's tests share: events, the dataset that FastVideo read, and each architecture of Wan, tiny."""

import json
import shutil
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel

from fastvideo_engine.events import Event, read_events
from fastvideo_engine.run_folder import RunFolder


@pytest.fixture
def events_of() -> Callable[..., list[Event]]:
    """List what a run folder's engine reported, all of it or of one kind of event."""

    def read(folder: RunFolder, kind: type | None = None) -> list[Event]:
        events, _ = read_events(folder.events)
        return [event for event in events if kind is None or isinstance(event, kind)]

    return read


@pytest.fixture(scope="session")
def merged_dataset(fastvideo_fixtures: Path) -> Path:
    """Eight short clips with captions in the layout that FastVideo calls merged."""
    return fastvideo_fixtures / "dataset"


@pytest.fixture
def spoilt(make_clip: Callable[..., Path]) -> Callable[[Path, str], Path]:
    """Write a file that claims to be a video and is spoilt in one of several ways."""

    def make(path: Path, how: str) -> Path:
        content = make_clip(path).read_bytes()
        match how:
            case "text":
                path.write_text("not a video at all\n" * 50)
            case "empty":
                path.write_bytes(b"")
            case "cut short":
                path.write_bytes(content[: len(content) * 2 // 3])
            case "damaged in the middle":
                path.write_bytes(_with_noise_in_packet(path, content, 20))
        return path

    return make


def _with_noise_in_packet(path: Path, content: bytes, number: int) -> bytes:
    with av.open(str(path)) as container:
        packet = list(container.streams.video[0].index_entries)[number]
    start, end = packet.pos + 8, packet.pos + packet.size  # the packet's own header stays
    noise = np.random.default_rng(0).integers(0, 256, end - start, dtype=np.uint8).tobytes()
    return content[:start] + noise + content[end:]


@pytest.fixture(scope="session")
def film() -> Callable[..., Path]:
    """Write pictures, HWC uint8, as a video of any codec and format, at a rate or each at its own millisecond."""

    def make(
        path: Path,
        pictures: Sequence[np.ndarray],
        fps: int = 24,
        milliseconds: Sequence[int] | None = None,
        codec: str = "libx264",
        pixels: str = "yuv420p",
        **options: str,
    ) -> Path:
        height, width, channels = pictures[0].shape
        tick = Fraction(1, 1000) if milliseconds else Fraction(1, fps)
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=fps, options=options)
            stream.width, stream.height, stream.pix_fmt = width, height, pixels
            stream.codec_context.time_base = tick
            for number, picture in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(picture, format="rgba" if channels == 4 else "rgb24")
                frame.pts, frame.time_base = milliseconds[number] if milliseconds else number, tick
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return make


@pytest.fixture(scope="session")
def greys() -> Callable[..., list[np.ndarray]]:
    """Make pictures whose brightness tells their number: 6 levels more each."""

    def make(count: int, height: int = 64, width: int = 64) -> list[np.ndarray]:
        return [np.full((height, width, 3), 6 * number % 256, np.uint8) for number in range(count)]

    return make


@pytest.fixture(scope="session")
def tiny_ti2v_5b(tiny_wan: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wan 2.2 TI2V-5B: 48 latent channels, 16 pixels a latent, a clean first latent frame."""
    folder = tmp_path_factory.mktemp("models") / "wan"
    shutil.copytree(tiny_wan, folder, ignore=shutil.ignore_patterns("vae", "transformer"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        vae = AutoencoderKLWan(
            base_dim=4,
            decoder_base_dim=4,
            z_dim=48,
            num_res_blocks=1,
            latents_mean=[0.1] * 48,
            latents_std=[0.7] * 48,
            is_residual=True,
            in_channels=12,
            out_channels=12,
            patch_size=2,
            scale_factor_spatial=16,
        )
    vae.save_pretrained(folder / "vae")
    _transformer(folder / "transformer", seed=6, channels=48)
    return _described(folder, expand_timesteps=True)


@pytest.fixture(scope="session")
def tiny_a14b_t2v(tiny_wan: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wan 2.2 A14B text to video: two experts."""
    folder = tmp_path_factory.mktemp("models") / "wan"
    shutil.copytree(tiny_wan, folder, ignore=shutil.ignore_patterns("transformer"))
    for seed, expert in enumerate(("transformer", "transformer_2")):
        _transformer(folder / expert, seed, channels=16)
    return _described(folder, transformer_2=["diffusers", "WanTransformer3DModel"], boundary_ratio=0.875)


@pytest.fixture(scope="session")
def tiny_a14b_i2v(tiny_wan_i2v: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wan 2.2 A14B image to video: two experts of 36 channels and no image encoder."""
    folder = tmp_path_factory.mktemp("models") / "wan"
    left_out = shutil.ignore_patterns("transformer", "image_encoder", "image_processor")
    shutil.copytree(tiny_wan_i2v, folder, ignore=left_out)
    for seed, expert in enumerate(("transformer", "transformer_2")):
        _transformer(folder / expert, seed, channels=16, channels_in=36)
    nothing = {"image_encoder": [None, None], "image_processor": [None, None]}
    return _described(folder, transformer_2=["diffusers", "WanTransformer3DModel"], boundary_ratio=0.9, **nothing)


def _transformer(folder: Path, seed: int, channels: int, channels_in: int | None = None) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        WanTransformer3DModel(
            in_channels=channels_in or channels,
            out_channels=channels,
            num_attention_heads=2,
            attention_head_dim=24,
            text_dim=32,
            freq_dim=32,
            ffn_dim=64,
            num_layers=2,
        ).save_pretrained(folder)


def _described(folder: Path, **changes: Any) -> Path:
    index = folder / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | changes))
    return folder
