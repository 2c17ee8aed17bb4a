"""Where our verdicts on the recorded answers part from the official ones, and who is right.

    python -m tests.stages.benchmarks.parity.report    # counts, and writes disagreements.tsv anew

`verdicts.toml` holds, for each answer of each type, what the benchmark's authors say (`official`)
and what VLMEvalKit says: `+` right, `-` wrong, `?` nothing without a language model, or a guess.
They were recorded by running the sources at the commits it names on the responses of `cases`:

- MMMU: `parse_multi_choice_response` (`?` where it draws lots), `parse_open_response`, `eval_open`.
- MathVista: `normalize_extracted_answer` and `safe_equal`, on the answer as the response states it,
  in place of what their LLM extracts.
- MATH-V: `evaluate`, on whole responses.
- OlympiadBench: `extract_answer` and `MathJudger.judge`, with the arguments as `judge.py` has them.
- DynaMath: `preprocess` and the comparison of `opensource_json_eval.py`; `?` where it finds no JSON
  and takes the end of the last line.
- VLMEvalKit: `can_infer`, `is_equal` of MATH-V, `DynaMath_auxeval`; `?` where it asks a model.

MV-MATH is scored by a language model alone, so there are only our own labels to compare with.
"""

import hashlib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stages.verifiers import Judgement
from tests.stages.benchmarks.parity.cases import KINDS, Case, cases
from tests.stages.benchmarks.parity.ours import judged
from tests.stages.benchmarks.parity.reasons import why

HERE = Path(__file__).parent
TABLE = HERE / "disagreements.tsv"
SCORERS = ("official", "vlmevalkit")
COLUMNS = ("type", "scorer", "gold", "answer", "forms", "theirs", "ours", "right", "why")
WORDS = {True: "right", False: "wrong"}


class Judged(NamedTuple):
    """A recorded answer with our judgement."""

    case: Case
    judgement: Judgement

    @property
    def ours(self) -> bool:
        """Whether we call it right."""
        return self.judgement.outcome_reward == 1


def recorded() -> dict[str, dict[str, Any]]:
    """Type -> digest of its answers, and a string of verdicts for each scorer."""
    found: dict[str, dict[str, Any]] = tomllib.loads((HERE / "verdicts.toml").read_text())["types"]
    return found


def digest_of(listed: Sequence[Case]) -> str:
    """Identity of some answers, so that verdicts are not read beside others."""
    text = "\0".join(f"{case.form}\1{case.response}" for case in listed)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def judge_all() -> dict[str, list[Judged]]:
    """Type -> all of its answers, judged."""
    listed = [case for name in KINDS for case in cases(name)]
    found: dict[str, list[Judged]] = {name: [] for name in KINDS}
    for case, judgement in zip(listed, judged(listed), strict=True):
        found[case.type].append(Judged(case, judgement))
    return found


def disagreements(found: dict[str, list[Judged]]) -> list[dict[str, str]]:
    """A row for each answer on which a scorer disagrees, in all forms in which it does."""
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for name, verdicts in recorded().items():
        for scorer in SCORERS:
            for one, theirs in zip(found[name], verdicts[scorer], strict=True):
                if theirs == "?" or (theirs == "+") == one.ours:
                    continue
                case, gold = one.case, one.case.question.sample.answer or ""
                answer = case.stated or case.response
                reason = why(scorer, name, case.form, gold, case.stated, theirs)
                key = (name, scorer, gold, answer, theirs, reason)
                row = rows.setdefault(
                    key,
                    {
                        "type": name,
                        "scorer": scorer,
                        "gold": gold.replace("\n", "\\n"),
                        "answer": answer.replace("\n", "\\n"),
                        "forms": "",
                        "theirs": WORDS[theirs == "+"],
                        "ours": WORDS[one.ours],
                        "right": "ours" if one.ours == case.right else "theirs",
                        "why": reason,
                    },
                )
                row["forms"] = ", ".join(filter(None, (row["forms"], case.form)))
    return list(rows.values())


def write(rows: Sequence[dict[str, str]], path: Path = TABLE) -> None:
    """The table of disagreements."""
    with path.open("w", encoding="utf-8", newline="") as out:
        out.write("\t".join(COLUMNS) + "\n")
        out.writelines("\t".join(row[name] for name in COLUMNS) + "\n" for row in rows)


def show(found: dict[str, list[Judged]]) -> None:
    """How many answers there are of each type, and how often a scorer's verdict is ours."""
    columns = ("answers", "verdicts", "agree", "ours right", "theirs right")
    print(f"{'':40}" + "".join(f"{name:>14}" for name in columns))
    for name, verdicts in recorded().items():
        for scorer in SCORERS:
            pairs = [
                (one, theirs == "+")
                for one, theirs in zip(found[name], verdicts[scorer], strict=True)
                if theirs != "?"
            ]
            parted = [one for one, theirs in pairs if one.ours != theirs]
            ours = sum(one.ours == one.case.right for one in parted)
            numbers = (len(found[name]), len(pairs), len(pairs) - len(parted))
            row = (*numbers, ours, len(parted) - ours)
            print(f"{f'{name}, {scorer}':40}" + "".join(f"{each:>14,}" for each in row))


if __name__ == "__main__":
    judgements = judge_all()
    write(disagreements(judgements))
    show(judgements)
