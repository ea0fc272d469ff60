"""The one component that the demo's own HTML stands in, and the look of the page around it."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

HERE = Path(__file__).parent
CSS = (HERE / "cards.css").read_text(encoding="utf-8")
PICK = (HERE / "pick.js").read_text(encoding="utf-8")
PAGE_CSS = """
.gradio-container { width: 100%; max-width: min(1360px, 100vw) !important; margin: 0 auto; }
.html-container { padding: 0 !important; }
.begin button { flex: 1 1 auto; white-space: nowrap; }
footer .divider { display: none; }
"""


def panel(value: str, *, label: str, elem_id: str | None = None, max_height: int | None = None) -> gr.HTML:
    """A place for HTML made by `markup`; its event `pick` carries the `item` and `action` of a clicked card."""
    return gr.HTML(
        value,
        elem_id=elem_id,
        label=label,
        max_height=max_height,
        css_template=CSS,
        js_on_load=PICK,
        apply_default_css=False,
        padding=False,
    )


def into_view(elem_id: str) -> str:
    """The page's own program that scrolls to a panel, and no farther than it must."""
    return f"() => document.getElementById('{elem_id}').scrollIntoView({{ behavior: 'smooth', block: 'nearest' }})"


def theme() -> gr.themes.Base:
    """The look of the page: fonts of the machine, so that nothing is fetched; quiet words dark enough to be read."""
    fonts = ["Inter", "system-ui", "-apple-system", "Segoe UI", "sans-serif"]
    return gr.themes.Default(
        primary_hue="blue",
        neutral_hue="slate",
        radius_size="lg",
        font=fonts,
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "monospace"],
    ).set(body_text_color_subdued="*neutral_500", body_text_color_subdued_dark="*neutral_400")
