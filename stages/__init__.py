"""The method: one module per stage, in the order they run.

A stage module has a `Config` (its settings), `models_used` and `tables_read` (what its output
depends on besides) and `run(job, config)`. Stages never import each other: they meet in tables.
"""

STAGES = {
    "caption": "stages.caption",
    "reason": "stages.reason",
    "verify": "stages.verify",
    "judge": "stages.judge",
    "propagate-reward": "stages.propagate_reward",
    "train": "stages.train",
    "eval": "stages.eval",
}
