"""One of the run's models, at a stage's service from the first row that needs it to its end."""

from collections.abc import Callable, Generator, Iterator, Mapping

from stages.engines import Completion, Engine, Request, load_engine
from stages.job import Job


class Model:
    """A model that is loaded when it is first asked; as a context manager it is ended.

    While a worker waits for shards it stays loaded: starting a large one takes minutes.

    Args:
        job: the attempt; its `should_stop` ends answers, and the loading, early.
        role: which of `job.models` it is.
        figures: what to show beside those of the engine.
    """

    def __init__(
        self, job: Job, role: str, figures: Callable[[], Mapping[str, float]] = dict
    ) -> None:
        self.job = job
        self.role = role
        self.figures = figures
        self.engine: Engine | None = None

    def __enter__(self) -> "Model":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def answer(self, requests: Iterator[Request]) -> Generator[Completion, None, None]:
        """Answer requests, as `Engine.generate` does.

        Raises:
            EngineError: the engine failed, or can't start.
            Stopped: it was to stop before the engine was there.
        """
        if self.engine is None:
            self.engine = self._load()
        yield from self.engine.generate(requests, self.job.should_stop)

    def _load(self) -> Engine:
        config = self.job.models[self.role]
        if config.path is not None:
            self.job.report.note(f"loading {config.path} with {config.engine}")
        engine = load_engine(self.role, config, self.job.should_stop)
        self.job.report.watch(lambda: {**engine.figures(), **self.figures()})
        return engine

    def close(self) -> None:
        """End the engine; who asks again has another one started."""
        if self.engine is not None:
            self.job.report.watch(dict)
            engine, self.engine = self.engine, None
            engine.close()
