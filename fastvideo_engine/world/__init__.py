"""A world small enough to learn on a laptop: coloured shapes that move over a background, drawn from a seed."""
