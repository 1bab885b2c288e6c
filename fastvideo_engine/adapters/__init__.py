"""Adapters as files: read from every tool, written for every tool, merged into a model and extracted from one."""
