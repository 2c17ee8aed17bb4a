"""What vLLM says of itself while it runs: how full it is, and what its prefix cache saves."""

from typing import Any

from vllm.v1.metrics.loggers import StatLoggerBase
from vllm.v1.metrics.stats import CachingMetrics


class Figures(StatLoggerBase):  # type: ignore[misc]
    """Keeps the newest figures. vLLM calls `record` after every step."""

    def __init__(self, vllm_config: Any = None, engine_index: int = 0) -> None:
        self.running = self.waiting = 0
        self.prefix_cache = CachingMetrics()

    def record(self, scheduler_stats: Any, iteration_stats: Any, *others: Any, **more: Any) -> None:
        """Take over what changed in a step."""
        if scheduler_stats is not None:
            self.running = scheduler_stats.num_running_reqs
            self.waiting = scheduler_stats.num_waiting_reqs
            self.prefix_cache.observe(scheduler_stats.prefix_cache_stats)

    def log_engine_initialized(self) -> None:
        """Nothing to say."""

    def newest(self) -> dict[str, float]:
        """`running` and `waiting` requests, and the `prefix_cache_hit_rate`, in [0, 1]."""
        return {
            "running": self.running,
            "waiting": self.waiting,
            "prefix_cache_hit_rate": round(self.prefix_cache.hit_rate, 3),
        }
