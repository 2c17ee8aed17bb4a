"""A language model beside the rules: finds answers that they don't, and judges what they reject.

Rules are nearly always right when they accept an answer, and miss some of the right ones: 99 %
precision, 86 % recall (2505.22203). So a model is asked about those that they reject, and only
about kinds of answers that rules are weak at. Each distinct query is asked once, at temperature 0;
what came of it is remembered for the rows and shards that follow. A reply that can't be read leaves
its rows unjudged (`error`), never wrong.

What the rules settle never comes near the model's queue (`Planned.made`), so that rows wait for
nothing and memory stays flat however rarely the model is needed.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from data.errors import ConfigError
from data.records import Verdict
from data.tables import digest_of
from stages.cases import Case, verdict_row
from stages.engines import Completion, Request, Sampling
from stages.generation import complete
from stages.job import Job, Planned
from stages.prompts import fill, load_prompt
from stages.queries import Query, Task
from stages.seeds import seed_for
from stages.serving import Model

ROLE = "verifier"
"""The model that is asked, one of the run's models."""
REMEMBERED = 200_000
"""Replies; a hundred megabytes or so."""
FINISHED = {
    "off": (),
    "missing": ("no_answer",),
    "all": ("correct", "incorrect", "no_answer", "timeout"),
}
"""`llm_extractor` -> statuses of responses in which a model looks for the final answer."""
MOST_WAITING = 1000
"""Rows that wait for one reply; after so many the query is put again, which holds up the others."""


class LlmConfig(BaseModel):
    """Settings of a stage that asks a language model about final answers."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    llm_extractor: Literal["off", "missing", "all"] = "off"
    """`missing`: where the rules find no final answer, `models.verifier` is asked for it, and the
    rules compare what it names; `all`: it is asked for every finished response. Where it names one
    that is not in the response, what the rules said alone stays."""
    llm_judge_prompt: str = "same_answer"
    """What the judge is asked: a built-in prompt, or the path of a text file."""
    llm_extractor_prompt: str = "final_answer"
    """What the extractor is asked."""
    llm_max_tokens: int = Field(1024, ge=1)
    """Longest reply, in tokens of the model."""

    @property
    def has_judge(self) -> bool:
        """Whether a language model judges what the rules reject."""
        return False

    @property
    def asks_model(self) -> bool:
        """Whether a language model has a say."""
        return self.has_judge or self.llm_extractor != "off"

    @property
    def UNUSED(self) -> tuple[str, ...]:
        """Settings that mean nothing as the others are: those of what is not asked."""
        names = [name for name in type(self).model_fields if name.startswith("llm_")]
        if not self.asks_model:
            return tuple(names)
        if self.llm_extractor == "off":
            return ("llm_extractor_prompt",)
        of_judge = ("llm_judge_prompt", "llm_kinds")
        return () if self.has_judge else tuple(name for name in names if name in of_judge)


def check_model(job: Job) -> None:
    """See that there is a model to ask.

    Raises:
        ConfigError: there is none.
    """
    if job.models[ROLE].path is None:
        raise ConfigError(
            f"A language model is to look at answers, but models.{ROLE}.path is not set.",
            f"Name it: --set models.{ROLE}.path=PATH; or leave out the llm_ settings.",
        )


class Opinions:
    """What a model says of cases; as a context manager it ends the model.

    Args:
        job: the attempt, one of whose models is asked.
        config: what is asked.

    Raises:
        ConfigError: there is no model.
    """

    def __init__(self, job: Job, config: LlmConfig) -> None:
        check_model(job)
        self.job = job
        self.model = Model(job, ROLE)
        self.prompts: dict[Task, str] = {
            "extract": load_prompt(config.llm_extractor_prompt),
            "judge": load_prompt(config.llm_judge_prompt),
        }
        self.sampling = Sampling(temperature=0.0, max_tokens=config.llm_max_tokens)
        self.replies: dict[str, str | None] = {}
        """Query -> reply; None where the model gave none."""

    def __enter__(self) -> "Opinions":
        return self

    def __exit__(self, *_: object) -> None:
        self.model.close()

    def plan(self, row: Planned, case: Case) -> Planned:
        """The row, with its verdict where nothing is left to ask."""
        if self.settle(case) is None:
            return replace(row, item=case, made=self.verdict(case))
        return replace(row, item=case)

    def settle(self, case: Case) -> Query | None:
        """Take in what is remembered; what is to be asked then."""
        while (query := case.next_query()) is not None and query.digest in self.replies:
            if not case.take(query.task, self.replies[query.digest]):
                break
        return query

    def ask(self, rows: Iterator[Planned]) -> Iterator[Verdict]:
        """Ask about the cases of planned rows, each distinct query once."""
        queries = _Queries(self, (row.item for row in rows))
        for row, completion in complete(self.model, queries, self._request, lambda *both: both):
            if completion.finish_reason != "unfinished":  # everything is to stop
                self._remember(row.item, completion)
                yield from map(self.verdict, queries.settled_by(row.item))

    def _request(self, row: Planned) -> Request:
        query: Query = row.item
        text = fill(self.prompts[query.task], dict(query.values))
        return Request(
            id=row.key,
            messages=[{"role": "user", "content": [{"type": "text", "text": text}]}],
            sampling=self.sampling,
            seed=seed_for(self.job.seed, "second opinion", query.digest),
            group=row.group,
        )

    def _remember(self, query: Query, completion: Completion) -> None:
        is_whole = completion.finish_reason == "stop" and completion.text is not None
        reply = (completion.prefill or "") + (completion.text or "") if is_whole else None
        if len(self.replies) >= REMEMBERED:
            del self.replies[next(iter(self.replies))]
        self.replies[query.digest] = reply

    def verdict(self, case: Case) -> Verdict:
        """The row of a case that is settled."""
        return verdict_row(
            case.key,
            case.found,
            rule_status=case.rule.status if case.tasks else None,
            llm=self._name(case.tasks) if case.tasks else None,
            llm_text=case.reply,
        )

    def _name(self, tasks: list[Task]) -> str:
        """Who was asked what: the model, and of each prompt the beginning of its digest."""
        prompts = (f"{task}:{digest_of(self.prompts[task])[:8]}" for task in tasks)
        return " ".join((self.job.models[ROLE].path or "", *prompts))


class _Queries(Iterator[Planned]):
    """The queries of cases, each distinct one once, and the cases that wait for their replies.

    A case whose reply asks for another query comes again, even after the end.
    """

    def __init__(self, opinions: Opinions, cases: Iterator[Case]) -> None:
        self.opinions = opinions
        self.cases = cases
        self.again: deque[Case] = deque()
        self.settled: deque[Case] = deque()
        self.waiting: dict[str, list[Case]] = {}

    def __next__(self) -> Planned:
        while True:
            case = self.again.popleft() if self.again else next(self.cases)
            if (query := self.opinions.settle(case)) is None:
                self.settled.append(case)
                continue
            waiting = self.waiting.setdefault(query.digest, [])
            waiting.append(case)
            if len(waiting) % MOST_WAITING == 1:
                # Alone in its batch: what it says follows from itself, whoever asks it and when.
                key = (query.digest, len(waiting))
                return Planned(key=key, group=key, item=query)

    def settled_by(self, query: Query) -> Iterator[Case]:
        """The cases that a reply has settled, and those that needed none."""
        for case in self.waiting.pop(query.digest, ()):
            if self.opinions.settle(case) is None:
                yield case
            else:
                self.again.append(case)
        while self.settled:
            yield self.settled.popleft()
