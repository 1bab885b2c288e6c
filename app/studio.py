"""Put the pages together; it holds no page of its own."""

import gradio as gr

from app.pages import dataset, datasets, home, run, runs, train

PAGES = (datasets, dataset, train, runs, run)


def build() -> gr.Blocks:
    """Build the whole studio: the first page, and a route for each of the others."""
    studio = gr.Blocks(title="FastVideo Studio", analytics_enabled=False)
    with studio:
        home.build(studio)
    for page in PAGES:
        with studio.route(page.TITLE, page.PATH, show_in_navbar=False) as route:
            page.build(route)
    return studio
