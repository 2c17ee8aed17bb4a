"""Evaluations that a language model judges: the policy and the judge are servers of the tests' own.

What is asked of either follows from the published layouts of the benchmarks.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from data import tables
from data.errors import RefusedError
from data.records import Verdict
from stages import eval as evaluation
from stages.benchmark_verdicts import asked_text, boxed, gold_text
from stages.benchmarks import PAPER, load_benchmark
from stages.engines import ModelConfig
from stages.eval import Config
from stages.identity import identify
from stages.job import Job
from tests.reports import SilentReport
from tests.stages.benchmarks import layouts
from tests.stages.engines.serving import chat, scripted

SAME, DIFFERENT = "Verdict: same", "Verdict: different"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("benchmarks")
    layouts.write_all(root)
    return root


@dataclass
class Asked:
    """What the two were asked."""

    policy: list[str] = field(default_factory=list)
    judge: list[str] = field(default_factory=list)


def text_of(body: dict[str, Any]) -> str:
    content = body["messages"][-1]["content"]
    parts = [{"text": content}] if isinstance(content, str) else content
    return "".join(part.get("text", "") for part in parts)


def evaluate(
    run: Path,
    config: Config,
    answer: Callable[[str], str | None],
    reply: Callable[[str], str],
    settings: Mapping[str, Any] = MappingProxyType({}),
    redo: Any = None,
) -> tuple[dict[str, Any], Asked]:
    """An evaluation's results by benchmark, and what was asked."""
    asked = Asked()

    def answered(body: dict[str, Any]) -> Any:
        prompt = text_of(body)
        getattr(asked, body["model"]).append(prompt)
        if (text := (answer if body["model"] == "policy" else reply)(prompt)) is None:
            return 400, {"error": {"message": "not this one", "code": 400}}
        return 200, chat(text)

    with scripted(answered) as script:
        model = ModelConfig(engine="endpoint", base_url=script.base_url)
        job = Job(
            stage="eval",
            run_dir=run,
            seed=0,
            models={
                "policy": model.model_copy(update={"path": "policy"}),
                "verifier": model.model_copy(update={"path": "judge"}),
            },
            metadata=identify("eval", dict(settings), {}, ()),
            report=SilentReport(),
            redo=redo,
        )
        outcome = evaluation.run(job, config)
    assert outcome.complete
    return {name.partition("@")[0]: found for name, found in outcome.figures.items()}, asked


def config_of(root: Path, *benchmarks: str, **rest: Any) -> Config:
    return Config(benchmarks=benchmarks, root=root, checkpoint="base", **rest)


def test_the_authors_judge_three_of_the_eight(root: Path) -> None:
    config = Config(llm_judge="authors")
    judged = {name for name in PAPER if config.judges(load_benchmark(name, 0, root))}
    assert judged == {"mmmu", "mathverse", "mv_math"}


def test_what_a_model_reads_of_a_question(root: Path) -> None:
    def first(name: str, number: int = 0) -> Any:
        return next(load_benchmark(name, 0, root).read(number, number + 1))

    # The image shows the question; the authors' transcript of it is for judges.
    assert asked_text(first("mathverse")).splitlines()[0] == "How large is the angle?"
    assert "B:60°" in asked_text(first("mathverse"))
    assert "D. reason d" in asked_text(first("mmmu_pro"))
    assert gold_text(first("mv_math", 1)) == "12 or 12.0"
    assert "(Unit: cm)" in asked_text(first("mathvista", 1))
    assert asked_text(first("mathvista")).count("blue") == 1
    assert boxed("\\frac{1}{2}") == "\\boxed{\\frac{1}{2}}"
    assert boxed("}{") == "Final answer: }{"


def test_both_figures_stand_side_by_side(root: Path, tmp_path: Path) -> None:
    config = config_of(root, "mathverse", "mathvista", llm_judge="authors")
    answers = {"Please first": "<think>It is \\boxed{60°}?</think>\\boxed{the larger one}"}

    def answer(prompt: str) -> str:
        return next((text for part, text in answers.items() if part in prompt), "\\boxed{9}")

    found, asked = evaluate(tmp_path, config, answer, lambda prompt: SAME)
    by_rule, judged = found["mathverse"], found["mathverse"]["judged"]
    assert (by_rule["pass_at_1"], judged["pass_at_1"]) == (0.0, 1.0)
    assert (judged["num_asked"], judged["num_changed"], judged["llm"]) == (2, 2, ["judge"])
    assert judged["sub_scores"]["type"]["free-form"]["pass_at_1"] == 1.0
    assert "judged" not in found["mathvista"], "its authors extract with a model and do not judge"
    assert len(asked.judge) == 2
    for prompt in asked.judge:
        assert "How large is the angle?" in prompt and "Other answer: the larger one" in prompt
        assert "It is" not in prompt, "the reasoning is not shown"


def test_a_judge_that_fails_leaves_its_rows_unjudged(root: Path, tmp_path: Path) -> None:
    config = config_of(root, "mathverse", llm_judge="authors")

    def reply(prompt: str) -> str:
        return DIFFERENT if "A:30" in prompt else "I think so."

    found, _ = evaluate(tmp_path, config, lambda prompt: "\\boxed{a blue one}", reply)
    judged = found["mathverse"]["judged"]
    assert (found["mathverse"]["pass_at_1"], judged["pass_at_1"]) == (0.0, 0.0)
    assert (judged["num_unjudged"], judged["num_questions"]) == (1, 1)
    assert judged["statuses"] == {"error": 1, "incorrect": 1}
    folder = tmp_path / "evals" / "mathverse@base" / "judged"
    rows = [row for path in tables.shards(folder) for row in tables.read_rows(path, Verdict)]
    assert [row["outcome_reward"] for row in rows] == [0.0, None]
    assert [row["llm_text"] for row in rows] == [DIFFERENT, "I think so."]
    # Made again, and only that.
    found, asked = evaluate(tmp_path, config, lambda prompt: "", lambda prompt: SAME, redo="errors")
    assert (len(asked.policy), len(asked.judge)) == (0, 1)
    assert found["mathverse"]["judged"]["pass_at_1"] == 0.5


SIDES = "<think>Hm.</think>There is {} on it, as I see it. Let me write down why I say so:"


def test_extracted_answers_go_by_the_benchmarks_own_rule(root: Path, tmp_path: Path) -> None:
    config = config_of(root, "mathvista", llm_extractor="missing")
    found, asked = evaluate(
        tmp_path,
        config,
        lambda prompt: SIDES.format("red" if "Choices" in prompt else "12.0"),
        lambda prompt: "Answer: red" if "There is red" in prompt else "Answer: 12.0",
    )
    by_rule, judged = found["mathvista"], found["mathvista"]["judged"]
    assert by_rule["statuses"] == {"no_answer": 4}
    # 12.0 is the whole number 12, but not 1.2, nor a list; red is the option.
    assert judged["statuses"] == {"correct": 2, "incorrect": 2}
    assert (judged["num_asked"], len(asked.judge)) == (4, 3), "two ask and answer the same"
    assert not any("Hm." in prompt for prompt in asked.judge)


def test_answers_that_failed_and_were_made_again_are_judged_again(
    root: Path, tmp_path: Path
) -> None:
    config = config_of(root, "mv_math", llm_judge="authors")

    def once(prompt: str) -> str | None:
        return None if "cube" in prompt else "\\boxed{a red one}"

    found, asked = evaluate(tmp_path, config, once, lambda _: SAME)
    assert found["mv_math"]["judged"]["statuses"] == {"correct": 2, "error": 1}
    assert len(asked.judge) == 2
    rules = config_of(root, "mv_math")
    whole = tmp_path.with_name("whole")
    shutil.copytree(tmp_path, whole)
    found, _ = evaluate(whole, rules, lambda _: "\\boxed{x}", lambda _: SAME, redo="errors")
    assert "judged" not in found["mv_math"], "the model has not seen the new answer"
    right = "\\boxed{another}"
    found, asked = evaluate(tmp_path, config, lambda _: right, lambda _: SAME, redo="errors")
    assert found["mv_math"]["judged"]["statuses"] == {"correct": 3}
    assert (len(asked.policy), len(asked.judge)) == (1, 1)


def test_other_answers_need_another_judgement(root: Path, tmp_path: Path) -> None:
    config = config_of(root, "mathverse", llm_judge="authors")
    settings = {"eval.llm_judge": "authors", "models.verifier.path": "judge"}
    wrong = "\\boxed{a blue one}"
    evaluate(tmp_path, config, lambda _: wrong, lambda _: SAME, settings)
    other = settings | {"models.verifier.path": "another"}
    with pytest.raises(RefusedError, match=r"models\.verifier\.path"):
        evaluate(tmp_path, config, lambda _: wrong, lambda _: SAME, other)
    rules = config_of(root, "mathverse")
    found, asked = evaluate(tmp_path, rules, lambda _: wrong, lambda _: SAME)
    assert not asked.policy and not asked.judge
    assert found["mathverse"]["judged"]["pass_at_1"] == 1.0, "what is there is shown"
