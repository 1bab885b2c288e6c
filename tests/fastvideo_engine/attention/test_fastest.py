"""The choice between ways of attending to tiles."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from fastvideo_engine.attention.fastest import fastest_way, problem_of
from fastvideo_engine.attention.flex import attend_by_flex
from fastvideo_engine.attention.gathering import attend_by_gathering
from fastvideo_engine.attention.tiles import fold, tiling_of

CPU = torch.device("cpu")


def test_a_machine_without_a_gpu_takes_the_reference_and_says_so():
    way = fastest_way(CPU, torch.float32, 64)
    assert way.attend is attend_by_gathering
    assert way.note == "Sparse attention runs on plain PyTorch."


def test_the_reference_has_no_problem_in_any_precision():
    for dtype in (torch.float32, torch.bfloat16):
        assert problem_of(attend_by_gathering, CPU, dtype, 32) is None


def test_a_way_that_passes_over_the_choice_is_found_out():
    def dense(query, key, value, chosen, tiling):
        return scaled_dot_product_attention(query, key, value)

    assert problem_of(dense, CPU, torch.float32, 32).startswith("its answers differ by ")


def test_a_way_with_wrong_gradients_is_found_out():
    def forgetful(query, key, value, chosen, tiling):
        return attend_by_gathering(query, key, value, chosen, tiling) + (key * 0.1 - (key * 0.1).detach()).sum()

    assert problem_of(forgetful, CPU, torch.float32, 32).startswith("its answers differ by ")


def test_a_way_that_fails_is_passed_over_with_its_reason():
    def failing(query, key, value, chosen, tiling):
        raise RuntimeError("no kernel image is available\nand much more")

    assert problem_of(failing, CPU, torch.float32, 32) == "no kernel image is available"


@pytest.mark.slow
@pytest.mark.parametrize("grid", [(8, 8, 8), (5, 6, 7)])
def test_compiled_flex_attention_sees_only_the_chosen_tiles(tokens, grid):
    tiling = tiling_of(grid, CPU)
    with torch.no_grad():  # torch has no backward pass of it on CPUs
        folded = [fold(each, tiling) for each in tokens(grid)[:3]]
        for kept in (1, 3):  # compiled once for both
            scores = torch.rand(2, 2, tiling.tiles, tiling.tiles, generator=torch.Generator().manual_seed(2))
            chosen = scores.topk(kept).indices
            torch.testing.assert_close(
                attend_by_flex(*folded, chosen, tiling)[:, :, tiling.slots],
                attend_by_gathering(*folded, chosen, tiling)[:, :, tiling.slots],
                rtol=1e-4,
                atol=1e-5,
            )
