"""Training: a plan, the ranks that work through it, their checkpoints, and the export."""
