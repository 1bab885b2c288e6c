"""Wan 2.1 and 2.2, text and image to video: their shapes, defaults and names (github.com/Wan-Video)."""

from dataclasses import replace

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
        (".add_k_proj", ".k_img"),
        (".add_v_proj", ".v_img"),
    ),
)
# Its Parquet serves text to video as well, where the columns of the image are passed over.
WAN_I2V = replace(
    WAN,
    title="Wan I2V",
    pipeline_class="WanImageToVideoPipeline",
    workloads=("t2v", "i2v"),
    reads_first_frame_latent=True,
    has_image_encoder=True,
)
