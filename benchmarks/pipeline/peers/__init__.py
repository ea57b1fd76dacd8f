"""One file per pipeline library that is measured, and nothing else."""
