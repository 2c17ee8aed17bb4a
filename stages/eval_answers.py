"""A benchmark's questions, answered by the policy and judged by rule.

Output table: evals/BENCHMARK, a row per answer.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby

from data import tables
from data.records import Attempted, Sample
from stages.benchmark_verdicts import attempts_at, best, by_own_rule, num_shards, questions_of
from stages.benchmarks import Benchmark, Question, Score
from stages.engines import Completion, Request, Sampling
from stages.eval_checkpoint import checkpoint_identity
from stages.generation import complete, encoded_images, group_rows
from stages.job import Job, Outcome, Planned
from stages.prompts import answer_messages, question_text
from stages.provenance import scorer_version
from stages.seeds import seed_for
from stages.serving import Model
from stages.shards import map_shards
from stages.verifiers import Attempt, Judgement
from stages.verifiers.pool import Judge

Answered = tuple[Planned, Completion]


def answer_benchmark(
    job: Job,
    policy: Model,
    benchmark: Benchmark,
    name: str,
    *,
    system: str,
    sampling: Sampling,
    num_samples: int,
) -> Outcome:
    """Ask and judge what is not there yet of an evaluation.

    Args:
        job: the attempt.
        policy: who is asked.
        benchmark: the questions.
        name: of the evaluation, such as `evals/mmmu`.
        system: the system prompt.
        sampling: how answers are drawn.
        num_samples: answers per question.
    """
    model = job.models["policy"]
    job = _identified(job, benchmark.digest, checkpoint_identity(model.path))
    there = bool(tables.shards(job.folder(name)))
    count = tables.shard_count(job.folder(name)) if there else num_shards(benchmark)

    def plan(index: int) -> Iterator[Planned]:
        questions = questions_of(benchmark, index, count)
        prompts = (((each.sample.sample_id, 0), each) for each in questions)
        return group_rows(prompts, range(num_samples), model.group_size)

    def request(row: Planned) -> Request | Completion:
        sample: Sample = row.item.sample
        if sample.error:
            return Completion(id=row.key, error=sample.error)
        return Request(
            id=row.key,
            messages=answer_messages(vars(sample), system),
            images=encoded_images(vars(sample)),
            sampling=sampling,
            seed=seed_for(job.seed, "eval", benchmark.name, *row.key),
            group=row.group,
        )

    def execute(rows: Iterator[Planned]) -> Iterator[Attempted]:
        answered = complete(policy, rows, request, lambda row, done: (row, done))
        with Judge() as judge:
            judged = judge.judge(_to_judge(answered), job.should_stop)
            for _, tagged in groupby(judged, key=lambda found: found[0][0].key):
                answers, found = zip(*tagged, strict=True)
                row, completion = answers[0]
                if len(found) == 1 + len(row.item.alternatives):  # or it is time to stop
                    yield _record(row, completion, best(found), benchmark.score)

    return map_shards(
        job,
        record=Attempted,
        table=name,
        count=count,
        plan=plan,
        execute=execute,
        total=benchmark.num_questions * num_samples,
    )


def _identified(job: Job, *identity: str | None) -> Job:
    """The job of one evaluation, whose digest tells its questions and checkpoint."""
    metadata = replace(
        job.metadata,
        digest=tables.digest_of(job.metadata.digest, *identity),
        root=tables.digest_of(job.metadata.root, *identity),
    )
    return replace(job, metadata=metadata)


def _to_judge(answered: Iterator[Answered]) -> Iterator[tuple[Answered, Attempt]]:
    """Each answer, once for each gold answer that will do."""
    for row, completion in answered:
        for attempt in attempts_at(row.item, vars(completion)):
            yield (row, completion), attempt


def _record(
    row: Planned, completion: Completion, found: Judgement, score: Score | None
) -> Attempted:
    question: Question = row.item
    by_verifier = None
    if completion.finish_reason == "stop" and completion.text is not None:
        # The verifier's word is kept beside the benchmark's own, to see where the two part.
        text = (completion.prefill or "") + completion.text
        found, by_verifier = by_own_rule(question, text, found, score)
    sample_id, caption_index, rollout_index = row.key
    return Attempted(
        sample_id=sample_id,
        caption_index=caption_index,
        rollout_index=rollout_index,
        text=completion.text,
        num_tokens=completion.length,
        finish_reason=completion.finish_reason,
        status=found.status,
        outcome_reward=found.outcome_reward,
        extracted_answer=found.extracted_answer,
        gold=question.sample.answer,
        error=completion.error,
        rule=found.verifier,
        scorer=scorer_version(),
        verifier_reward=by_verifier,
        cluster=question.cluster,
        labels=json.dumps(question.labels, ensure_ascii=False) if question.labels else None,
        question=question_text(vars(question.sample)),
        choices=list(question.options) or question.sample.choices,
        prefill=completion.prefill,
    )
