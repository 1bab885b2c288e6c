"""Measure the engine against plain loops, in one run, so that a figure is always a ratio to something known."""
