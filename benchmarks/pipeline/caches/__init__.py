"""One file per cache that is measured, and nothing else."""
