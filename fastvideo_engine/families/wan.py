"""Wan 2.1 text to video: its shapes, defaults and names (github.com/Wan-Video/Wan2.1)."""

from fastvideo_engine.families.family import Family

WAN = Family(
    title="Wan",
    pipeline_class="WanPipeline",
    frame_stride=4,
    size_multiple=16,  # 8 in the VAE, 2 in the transformer's patches
    flow_shift=3.0,
    text_length=512,
    adapter_targets=("to_q", "to_k", "to_v", "to_out.0"),
    original_names=(
        (".attn1.", ".self_attn."),
        (".attn2.", ".cross_attn."),
        (".to_q", ".q"),
        (".to_k", ".k"),
        (".to_v", ".v"),
        (".to_out.0", ".o"),
    ),
)
