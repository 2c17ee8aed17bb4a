"""The method: one module per stage, in the order they run.

A stage module has a `Config` (its settings), `READS` and `WRITES` (its tables), `MODELS` (the
models it uses) and `run(job, config)`. Stages never import each other: they meet in tables.
"""

STAGES = {
    "caption": "stages.caption",
    "reason": "stages.reason",
    "verify": "stages.verify",
    "propagate-reward": "stages.propagate_reward",
    "train": "stages.train",
    "eval": "stages.eval",
}
