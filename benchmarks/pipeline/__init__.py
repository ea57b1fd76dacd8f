"""The pipeline half: nodes that do nothing, what is kept of them, and caches, beside others."""
