"""The queue, the store that pages and workers share, and the launching and watching of engine processes."""
