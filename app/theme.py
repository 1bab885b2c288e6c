"""How the studio looks: a Gradio theme, and the stylesheet and script that every page carries in its head."""

from functools import cache

import gradio as gr

from fastvideo_engine import assets

_IRIS = gr.themes.Color(
    name="iris",
    c50="#f1f2fe",
    c100="#e4e6fd",
    c200="#cdd1fb",
    c300="#aab0f7",
    c400="#878ff1",
    c500="#6871e8",
    c600="#515ad6",
    c700="#434ab4",
    c800="#383e90",
    c900="#31366f",
    c950="#1f2244",
)
_GRAPHITE = gr.themes.Color(
    name="graphite",
    c50="#fafafb",
    c100="#f4f4f6",
    c200="#e6e7eb",
    c300="#d2d4da",
    c400="#a0a3ad",
    c500="#656874",
    c600="#50535d",
    c700="#363941",
    c800="#24262c",
    c900="#191b1f",
    c950="#111215",
)
# Gradio ships the semibold cuts with a few letters only; 600 then falls to the bold ones.
_SANS = (gr.themes.LocalFont("IBM Plex Sans", weights=(400, 700)), "ui-sans-serif", "system-ui", "sans-serif")
_MONO = (gr.themes.LocalFont("IBM Plex Mono", weights=(400, 700)), "ui-monospace", "Menlo", "monospace")

THEME = gr.themes.Base(
    primary_hue=_IRIS,
    secondary_hue=_IRIS,
    neutral_hue=_GRAPHITE,
    spacing_size=gr.themes.sizes.spacing_md,
    radius_size=gr.themes.sizes.radius_md,
    text_size=gr.themes.sizes.text_md,
    font=_SANS,
    font_mono=_MONO,
).set(
    body_background_fill="*neutral_50",
    body_background_fill_dark="*neutral_950",
    body_text_color="#1b1c20",
    body_text_color_dark="#e7e8ec",
    body_text_color_subdued="*neutral_500",
    body_text_color_subdued_dark="*neutral_400",
    background_fill_primary="white",
    background_fill_primary_dark="*neutral_900",
    background_fill_secondary="*neutral_100",
    background_fill_secondary_dark="*neutral_800",
    border_color_primary="*neutral_200",
    border_color_primary_dark="#2b2d34",
    color_accent="*primary_600",
    color_accent_soft="*primary_50",
    color_accent_soft_dark="*primary_950",
    link_text_color="*primary_600",
    link_text_color_dark="*primary_300",
    block_background_fill="white",
    block_background_fill_dark="*neutral_900",
    block_border_color="*neutral_200",
    block_border_color_dark="#2b2d34",
    block_label_text_color="*neutral_600",
    block_label_text_color_dark="*neutral_400",
    block_title_text_color="*neutral_600",
    block_title_text_color_dark="*neutral_300",
    block_title_text_weight="600",
    block_info_text_color="*neutral_500",
    block_info_text_color_dark="*neutral_400",
    block_radius="*radius_lg",
    container_radius="*radius_lg",
    input_radius="*radius_md",
    block_shadow="none",
    block_shadow_dark="none",
    input_background_fill="white",
    input_background_fill_dark="*neutral_950",
    input_border_color="*neutral_300",
    input_border_color_dark="*neutral_700",
    input_border_color_focus="*primary_500",
    input_border_color_focus_dark="*primary_400",
    input_shadow_focus="0 0 0 3px *primary_100",
    input_shadow_focus_dark="0 0 0 3px *primary_950",
    input_border_width="1px",
    input_padding="8px 10px",
    button_large_padding="8px 14px",
    button_large_text_size="*text_md",
    button_large_text_weight="600",
    button_small_padding="4px 10px",
    button_small_text_size="*text_sm",
    button_small_text_weight="600",
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_dark="*primary_600",
    button_primary_background_fill_hover="*primary_700",
    button_primary_background_fill_hover_dark="*primary_500",
    button_primary_text_color="white",
    button_primary_text_color_dark="white",
    button_secondary_background_fill="white",
    button_secondary_background_fill_dark="*neutral_800",
    button_secondary_background_fill_hover="*neutral_100",
    button_secondary_background_fill_hover_dark="*neutral_700",
    button_secondary_border_color="*neutral_300",
    button_secondary_border_color_dark="*neutral_700",
    button_secondary_text_color="#1b1c20",
    button_secondary_text_color_dark="#e7e8ec",
    button_border_width="1px",
    button_transform_hover="none",
    button_transform_active="none",
)


@cache
def head() -> str:
    """Give what `launch(head=...)` takes: the stylesheet as it is, and the script of the copy buttons.

    Not through `launch(css=...)`: Gradio rewrites those selectors, and drops what it does not know.
    """
    style = (assets.FOLDER / "studio.css").read_text(encoding="utf-8")
    script = (assets.FOLDER / "copy.js").read_text(encoding="utf-8")
    return f"<style>{style}</style><script>{script}</script>"
