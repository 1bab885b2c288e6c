"""Video sparse attention: each tile of the video attends to the few tiles that matter to it (arXiv:2505.13389)."""
