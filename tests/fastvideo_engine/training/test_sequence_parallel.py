"""Two processes that share each clip compute the loss and gradients of one."""

_COMPARE = """
import sys
from dataclasses import replace
from pathlib import Path
import torch
from fastvideo_engine.attention.fastest import fastest_way
from fastvideo_engine.attention.stored import gates
from fastvideo_engine.attention.wan import add_sparse_attention, set_sparsity
from fastvideo_engine.components import load_transformer
from fastvideo_engine.distributed import join_processes
from fastvideo_engine.training.flow_matching import Batch, first_frame_channels, flow_matching_loss
from fastvideo_engine.training.sequence_parallel import share_tokens

ranks = replace(join_processes(), sharing=2)

def learnt(transformer, batch, mean=lambda tensor: tensor):
    transformer.zero_grad()
    loss = flow_matching_loss(transformer, batch)
    loss.backward()
    return loss.detach(), {name: mean(weight.grad) for name, weight in transformer.named_parameters()}

def compare(model, sparse=False, **more):
    transformer = load_transformer(Path(model), ranks.device).requires_grad_(True)
    generator = torch.Generator().manual_seed(1)
    if sparse:
        add_sparse_attention(transformer, fastest_way(ranks.device, torch.float32, 24))
        set_sparsity(transformer, 0.5)
        for gate in gates(transformer).values():
            torch.nn.init.normal_(gate, std=0.3, generator=generator)
    channels = transformer.config.out_channels
    # 5 x 5 x 3 tokens: an odd number, and tiles that are cut off
    latents, noise = torch.randn(2, 2, channels, 5, 10, 6, generator=generator).unbind(0)
    more = {name: value(latents) for name, value in more.items()}
    text = torch.randn(2, 512, 32, generator=generator)
    batch = Batch(latents, text, noise, torch.tensor([0.9, 0.3]), **more)
    alone = learnt(transformer, batch)
    share_tokens(transformer, ranks)
    torch.testing.assert_close(learnt(transformer, batch, ranks.average), alone, rtol=1e-4, atol=1e-6)

text_to_video, image_to_video, token_timesteps = sys.argv[1:]
compare(text_to_video)
compare(text_to_video, sparse=True)
compare(
    image_to_video,
    more_channels=lambda latents: first_frame_channels(latents, 4),
    seen=lambda latents: torch.linspace(-1, 1, 2 * 257 * 32).view(2, 257, 32),
)
compare(token_timesteps, first_frame_is_given=lambda latents: True)
ranks.leave()
"""


def test_loss_and_gradients_are_those_of_one_process(start_processes, tiny_wan, tiny_wan_i2v, tiny_ti2v_5b):
    processes = start_processes(2, _COMPARE, *map(str, (tiny_wan, tiny_wan_i2v, tiny_ti2v_5b)))
    assert [process.wait(timeout=240) for process in processes] == [0, 0]
