"""Two teachers on the built-in world: who gets which question, and what stops and changes do."""

import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from data import tables
from data.errors import ConfigError, RefusedError
from data.records import Caption, Rollout, Sample
from data.world import iterate_samples, resolve, scene_seed
from data.world.scenes import make_scene
from sophia_cli.config import resolve_config
from sophia_cli.execute import Session
from sophia_cli.run_dir import RunDir
from sophia_cli.status import read_status
from stages import serving
from stages.job import Outcome
from stages.verifiers.responses.extract import extract_answer
from tests.reports import SilentReport

NUM_SAMPLES, NUM_SHARDS, K = 6, 2, 2
UNANSWERABLE = frozenset({"s1", "s4"})
"""Their gold answers are wrong, so that no rollout is right."""

Rows = dict[tuple[Any, ...], dict[str, Any]]


class Report(SilentReport):
    def close(self) -> None:
        pass

    total = done = 0
    table = None
    counts: dict[str, int]

    def __init__(self) -> None:
        self.counts = dict.fromkeys(("rows", "tokens", "errors", "kept_tokens", "lost_tokens"), 0)

    def figures(self) -> dict[str, float]:
        return {}


@pytest.fixture(scope="module")
def hard_reasoner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model elsewhere."""
    folder = tmp_path_factory.mktemp("models") / "hard"
    shutil.copytree(resolve("world:reasoner"), folder)
    return folder


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The roles whose engines were started."""
    roles = []
    load = serving.load_engine

    def note(role: str, *others: Any) -> Any:
        roles.append(role)
        return load(role, *others)

    monkeypatch.setattr(serving, "load_engine", note)
    return roles


@pytest.fixture(scope="module")
def golds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the reasoner says most often: its skill, which may change, is none of our business."""
    run = make_run(tmp_path_factory.mktemp("golds"), {})
    reason(run, None)
    said = defaultdict[str, Counter[str]](Counter)
    for key, row in rows_of(run, "rollouts").items():
        if answer := extract_answer(row["text"]):
            said[key[0]][answer] += 1
    return {name: answers.most_common(1)[0][0] for name, answers in said.items()}


def make_run(
    run: Path, golds: dict[str, str], difficulty: Sequence[float | None] = (None,) * NUM_SAMPLES
) -> Path:
    """Questions of the world, with flawless captions."""
    samples, captions = [], []
    for index, found in enumerate(iterate_samples("train", NUM_SAMPLES, 0)):
        name = f"s{index}"
        samples.append(
            Sample(
                sample_id=name,
                question=found.question,
                answer="999" if name in UNANSWERABLE else golds.get(name),
                choices=list(found.choices) or None,
                difficulty=difficulty[index],
            )
        )
        text = make_scene(scene_seed("train", 0, index)).describe()
        captions += [
            Caption(sample_id=name, caption_index=caption, text=text, finish_reason="stop")
            for caption in range(K)
        ]
    each = NUM_SAMPLES // NUM_SHARDS
    for shard in range(NUM_SHARDS):
        for table, record, rows in (
            ("samples", Sample, samples[shard * each : (shard + 1) * each]),
            ("captions", Caption, captions[shard * each * K : (shard + 1) * each * K]),
        ):
            path = tables.shard_path(run / table, shard, NUM_SHARDS)
            metadata = tables.Metadata(stage=table, digest=table, root=table)
            tables.write_atomically(path, tables.to_table(rows, record), metadata)
    return run


def reason(
    run: Path,
    hard: Path | None,
    *settings: str,
    should_stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """What `sophia reason` does."""
    values = ["models.reasoner.batch_size=2", "models.hard_reasoner.batch_size=2"]
    values += ["reason.num_rollouts=2", "run.commit_seconds=0.1", "verify.num_workers=1"]
    values += [f"models.hard_reasoner.path={hard}"] if hard else []
    config = resolve_config([Path("world:demo.toml")], [*values, *settings], {}).config
    session = Session(RunDir(run), config, Report(), should_stop)  # type: ignore[arg-type]
    return session.execute("reason")


def rows_of(run: Path, table: str) -> Rows:
    return {
        (row["sample_id"], row["caption_index"], row["rollout_index"]): row
        for path in tables.shards(run / table)
        for row in tables.read_rows(path, Rollout)
    }


def of(rows: Rows, *samples: str) -> Rows:
    return {key: row for key, row in rows.items() if key[0] in samples}


def taught_by(rows: Rows, model: Path | str) -> set[str]:
    return {key[0] for key, row in rows.items() if row["model"] == str(model)}


def digest_of(run: Path, table: str) -> str:
    return tables.table_digest(run / table)


def test_questions_that_the_reasoner_fails_at_go_to_the_hard_one(
    tmp_path: Path, golds: dict[str, str], hard_reasoner: Path, loaded: list[str]
) -> None:
    run = make_run(tmp_path / "run", golds)
    outcome = reason(run, hard_reasoner)
    assert (outcome.complete, outcome.rows) == (True, NUM_SAMPLES * K * 2)
    assert outcome.figures["questions"] == {"reasoner": 4, "hard_reasoner": 2}
    assert loaded == ["reasoner", "hard_reasoner"]
    probes, rollouts = rows_of(run, "probes"), rows_of(run, "rollouts")
    assert list(rollouts) == list(probes) == sorted(probes)
    assert taught_by(rollouts, hard_reasoner) == UNANSWERABLE
    easy = of(rollouts, "s0", "s2", "s3", "s5")
    assert easy.items() <= probes.items()
    for key in of(rollouts, *UNANSWERABLE):
        assert rollouts[key]["seed"] != probes[key]["seed"]
        assert rollouts[key]["finish_reason"] != "error"
    assert set(read_status(RunDir(run))["tables"]) > {"probes", "rollouts"}

    # What is done needs no probes any more, and belongs to these teachers and this threshold.
    shutil.move(run / "probes", tmp_path / "probes")
    assert reason(run, hard_reasoner).figures == outcome.figures
    with pytest.raises(RefusedError, match=r"models\.hard_reasoner\.path"):
        reason(run, hard_reasoner.parent)
    with pytest.raises(RefusedError, match=r"reason\.hard_below = 0\.25, now 0\.5"):
        reason(run, hard_reasoner, "reason.hard_below=0.5")
    shutil.move(tmp_path / "probes", run / "probes")

    # The probes serve other thresholds and teachers too; below 0 is nothing.
    shutil.rmtree(run / "rollouts")
    loaded.clear()
    outcome = reason(run, tmp_path / "nowhere", "reason.hard_below=0")
    assert outcome.figures["questions"] == {"reasoner": 6, "hard_reasoner": 0}
    assert (rows_of(run, "rollouts"), loaded) == (probes, [])


def test_the_probes_are_the_rollouts_of_a_run_with_one_teacher(
    tmp_path: Path, golds: dict[str, str], hard_reasoner: Path, loaded: list[str]
) -> None:
    run = make_run(tmp_path / "run", golds)
    reason(run, None)
    assert not (run / "probes").exists()
    assert "probes" not in read_status(RunDir(run))["tables"]
    (run / "rollouts").rename(run / "probes")
    loaded.clear()
    reason(run, hard_reasoner)
    assert loaded == ["hard_reasoner"]
    assert taught_by(rows_of(run, "rollouts"), hard_reasoner) == UNANSWERABLE


def test_samples_that_say_how_difficult_they_are_are_not_judged(
    tmp_path: Path, golds: dict[str, str], hard_reasoner: Path, loaded: list[str]
) -> None:
    # The first shard has nothing to probe; s4, which is never right, is said to be easy.
    run = make_run(tmp_path / "run", golds, [0.8, 0.9, 1.0, None, 0.1, None])
    outcome = reason(run, hard_reasoner)
    assert outcome.complete
    first = rows_of(run, "probes")
    assert {key[0] for key in first} == {"s3", "s4", "s5"}
    assert len(tables.shards(run / "probes")) == NUM_SHARDS
    assert taught_by(rows_of(run, "rollouts"), hard_reasoner) == {"s0", "s1", "s2"}

    # With a lower threshold more questions are the reasoner's: their probes join those there.
    shutil.rmtree(run / "rollouts")
    reason(run, hard_reasoner, "reason.hard_below=0.2")
    probes = rows_of(run, "probes")
    assert {key[0] for key in probes} == {"s0", "s3", "s4", "s5"}
    assert first.items() < probes.items()
    rollouts = rows_of(run, "rollouts")
    assert taught_by(rollouts, hard_reasoner) == {"s1", "s2"}
    assert list(rollouts) == sorted(rollouts)


def test_stopped_in_each_pass_the_table_is_the_same(
    tmp_path: Path, golds: dict[str, str], hard_reasoner: Path
) -> None:
    undisturbed = make_run(tmp_path / "undisturbed", golds)
    reason(undisturbed, hard_reasoner)
    run = make_run(tmp_path / "run", golds)
    for table in ("probes", "rollouts"):

        def has_begun(folder: Path = run / table) -> bool:
            return any(folder.glob(".parts/*/[!.]*.parquet"))

        assert not reason(run, hard_reasoner, should_stop=has_begun).complete
        assert has_begun() and not tables.shards(run / table)
    assert reason(run, hard_reasoner).complete
    for table in ("probes", "rollouts"):
        assert rows_of(run, table) == rows_of(undisturbed, table)
        assert digest_of(run, table) == digest_of(undisturbed, table)


def test_more_rollouts_are_by_who_began(
    tmp_path: Path, golds: dict[str, str], hard_reasoner: Path
) -> None:
    run = make_run(tmp_path / "run", golds)
    reason(run, hard_reasoner, "reason.num_rollouts=1", "reason.hard_below=0.6")
    before = rows_of(run, "rollouts")
    outcome = reason(run, hard_reasoner, "reason.hard_below=0.6")
    assert outcome.complete
    rollouts = rows_of(run, "rollouts")
    assert len(rollouts) == 2 * len(before) == NUM_SAMPLES * K * 2
    assert before.items() < rollouts.items()
    for model in (hard_reasoner, "world:reasoner"):
        assert taught_by(rollouts, model) == taught_by(before, model)


@pytest.mark.parametrize("setting", ["reason.behavior=image", "reason.prune=exact"])
def test_what_two_teachers_cannot_go_with(
    tmp_path: Path, golds: dict[str, str], hard_reasoner: Path, setting: str
) -> None:
    run = make_run(tmp_path / "run", golds)
    with pytest.raises(ConfigError, match=r"models\.hard_reasoner"):
        reason(run, hard_reasoner, setting)
