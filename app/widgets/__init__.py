"""Pieces of front end that Gradio does not have; each is a `gr.HTML` whose value is plain JSON."""
