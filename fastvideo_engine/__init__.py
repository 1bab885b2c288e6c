"""Turn a run folder that holds a spec into a finished one: preprocess, train and sample video diffusion models."""

__version__ = "0.1.0"
