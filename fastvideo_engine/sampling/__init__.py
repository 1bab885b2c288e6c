"""Sample videos from a model, with or without an adapter."""
