"""Wan 2.1 and 2.2, text and image to video: their shapes, defaults and names (github.com/Wan-Video)."""

from dataclasses import replace

from fastvideo_engine.families.family import Family, LayerNames

WAN = Family(
    title="Wan",
    pipeline_class="WanPipeline",
    frame_stride=4,
    size_multiple=16,  # 8 in the VAE, 2 in the transformer's patches
    flow_shift=3.0,
    text_length=512,
    adapter_targets=("to_q", "to_k", "to_v", "to_out.0"),
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
# One a line, to be read as the table that it is. FastVideo's loader knows no k_img and v_img, and diffusers' no gate.
LAYERS = (
    LayerNames("blocks.N.attn1.to_q", "blocks.N.self_attn.q", "blocks.N.to_q", read_by_all=True),
    LayerNames("blocks.N.attn1.to_k", "blocks.N.self_attn.k", "blocks.N.to_k", read_by_all=True),
    LayerNames("blocks.N.attn1.to_v", "blocks.N.self_attn.v", "blocks.N.to_v", read_by_all=True),
    LayerNames("blocks.N.attn1.to_out.0", "blocks.N.self_attn.o", "blocks.N.to_out", read_by_all=True),
    LayerNames("blocks.N.attn2.to_q", "blocks.N.cross_attn.q", "blocks.N.attn2.to_q", read_by_all=True),
    LayerNames("blocks.N.attn2.to_k", "blocks.N.cross_attn.k", "blocks.N.attn2.to_k", read_by_all=True),
    LayerNames("blocks.N.attn2.to_v", "blocks.N.cross_attn.v", "blocks.N.attn2.to_v", read_by_all=True),
    LayerNames("blocks.N.attn2.to_out.0", "blocks.N.cross_attn.o", "blocks.N.attn2.to_out", read_by_all=True),
    LayerNames("blocks.N.ffn.net.0.proj", "blocks.N.ffn.0", "blocks.N.ffn.fc_in", read_by_all=True),
    LayerNames("blocks.N.ffn.net.2", "blocks.N.ffn.2", "blocks.N.ffn.fc_out", read_by_all=True),
    LayerNames("blocks.N.attn2.add_k_proj", "blocks.N.cross_attn.k_img", "blocks.N.attn2.add_k_proj"),
    LayerNames("blocks.N.attn2.add_v_proj", "blocks.N.cross_attn.v_img", "blocks.N.attn2.add_v_proj"),
    LayerNames("blocks.N.to_gate_compress", "blocks.N.to_gate_compress", "blocks.N.to_gate_compress"),
    LayerNames("blocks.N.attn1.norm_q", "blocks.N.self_attn.norm_q", "blocks.N.norm_q"),
    LayerNames("blocks.N.attn1.norm_k", "blocks.N.self_attn.norm_k", "blocks.N.norm_k"),
    LayerNames("blocks.N.attn2.norm_q", "blocks.N.cross_attn.norm_q", "blocks.N.attn2.norm_q"),
    LayerNames("blocks.N.attn2.norm_k", "blocks.N.cross_attn.norm_k", "blocks.N.attn2.norm_k"),
    LayerNames("blocks.N.attn2.norm_added_k", "blocks.N.cross_attn.norm_k_img", "blocks.N.attn2.norm_added_k"),
    LayerNames("blocks.N.norm2", "blocks.N.norm3", "blocks.N.self_attn_residual_norm.norm"),
    LayerNames("blocks.N.scale_shift_table", "blocks.N.modulation", "blocks.N.scale_shift_table"),
    LayerNames("patch_embedding", "patch_embedding", "patch_embedding.proj"),
    *(
        LayerNames(f"condition_embedder.{diffusers}", original, f"condition_embedder.{fastvideo}")
        for diffusers, original, fastvideo in (
            ("text_embedder.linear_1", "text_embedding.0", "text_embedder.fc_in"),
            ("text_embedder.linear_2", "text_embedding.2", "text_embedder.fc_out"),
            ("time_embedder.linear_1", "time_embedding.0", "time_embedder.mlp.fc_in"),
            ("time_embedder.linear_2", "time_embedding.2", "time_embedder.mlp.fc_out"),
            ("time_proj", "time_projection.1", "time_modulation.linear"),
            ("image_embedder.norm1", "img_emb.proj.0", "image_embedder.norm1"),
            ("image_embedder.ff.net.0.proj", "img_emb.proj.1", "image_embedder.ff.fc_in"),
            ("image_embedder.ff.net.2", "img_emb.proj.3", "image_embedder.ff.fc_out"),
            ("image_embedder.norm2", "img_emb.proj.4", "image_embedder.norm2"),
        )
    ),
    LayerNames("proj_out", "head.head", "proj_out"),
    LayerNames("scale_shift_table", "head.modulation", "scale_shift_table"),
)
