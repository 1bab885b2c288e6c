"""Which of PyTorch's kernels computes dense attention."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from torch.utils._python_dispatch import TorchDispatchMode

from fastvideo_engine.errors import SpecError

_BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
}
_TOKENS = 256


@contextmanager
def attending_by(choice: str) -> Iterator[None]:
    """Let dense attention run on one kernel, in all threads; `auto` lets PyTorch choose."""
    with nullcontext() if choice == "auto" else sdpa_kernel(_BACKENDS[choice]):
        yield


def kernel_in_use(choice: str, device: torch.device, dtype: torch.dtype, head_width: int) -> str:
    """Name the kernel that a small attention takes here; raise `SpecError` where the chosen one cannot be taken."""
    tokens = torch.zeros(1, 1, _TOKENS, head_width, device=device, dtype=dtype, requires_grad=True)
    try:
        with _Seen() as seen:
            scaled_dot_product_attention(tokens, tokens, tokens)
    except RuntimeError as error:
        raise SpecError(
            f"Attention cannot run on the kernel {choice} here ({str(error).splitlines()[0].rstrip('.')}); "
            "set scale.sdpa to auto."
        ) from None
    return next((name for name in _BACKENDS if f"_{name}_attention" in seen.operations), "math")


class _Seen(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the names of all operations."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations = ""

    def __torch_dispatch__(self, operation: Any, _types: Any, arguments: Any = (), named: Any = None) -> Any:
        self.operations += f"{operation} "
        return operation(*arguments, **(named or {}))
