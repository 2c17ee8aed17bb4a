"""Make the plan: render every row once, and deal the rows out to optimizer steps.

A plan is a pure function of the tables, the settings and the seed: nothing in it depends on how
many ranks there are, and a resumed attempt goes on at the step where the last checkpoint left off.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data import tables
from data.errors import InputError
from data.report import Report
from stages.seeds import seed_for
from stages.training.config import Config
from stages.training.mixture import Source, rows_per_epoch
from stages.training.plan import VERSION, Plan
from stages.training.plan_writer import PlanWriter
from stages.training.render import Example, Renderer
from stages.training.rendering import Rendering
from stages.trust import Group


def make_plan(
    folder: Path,
    digest: str,
    trajectories: Iterator[Example] | None,
    make_renderer: Callable[[], Renderer],
    config: Config,
    seed: int,
    should_stop: Callable[[], bool],
    *,
    total: int = 0,
    report: Report | None = None,
    num_workers: int = 0,
) -> Plan | None:
    """Write a plan, or open the one that is there.

    Args:
        folder: where it goes.
        digest: of everything it depends on.
        trajectories: what is trained on; None: a warm-up, of what is mixed in alone.
        make_renderer: makes what turns examples into tokens, if it is needed, and in each worker.
        config: batch size, epochs and mixture.
        seed: the run's.
        should_stop: ends the planning early; what was rendered is kept.
        total: how many trajectories there are.
        report: where progress goes.
        num_workers: processes that render; 0: one per core.

    Returns:
        None where it was stopped.

    Raises:
        InputError: no row is left to train on, or extra data can't be read.
        ConfigError: it does not follow from the settings how much extra data there should be.
        EngineError: a process that renders died.
    """
    digest = tables.digest_of(digest, VERSION)
    if (folder / "plan.json").is_file() and (plan := Plan.open(folder)).digest == digest:
        return plan
    rendering = Rendering(folder, digest, make_renderer, should_stop, report, num_workers)
    with PlanWriter(folder, digest) as writer, rendering:
        units = add_trajectories(writer, rendering, trajectories or (), total, config)
        if units is None:
            return None
        num_trajectories = writer.num_rows
        if not num_trajectories and trajectories is not None:
            raise no_trajectories(writer.rejected)
        units.check()
        mixed = add_mixed(writer, rendering, config, seed)
        if mixed is None:
            return None
        if not writer.num_rows:
            raise nothing_left(writer.rejected)
    values = {
        "digest": digest,
        "steps": make_steps(units.rows, mixed, config.batch_size, seed),
        "num_trajectories": num_trajectories,
        "rejected": dict(sorted(writer.rejected.items())),
    }
    return writer.finish(values)


def add_trajectories(
    writer: PlanWriter,
    rendering: Rendering,
    trajectories: Iterable[Example],
    total: int,
    config: Config,
) -> "Units | None":
    """Render the trajectories that the objective can use; None where it was stopped."""
    units = Units(config)
    given = ((example, unusable(example, config)) for example in trajectories)
    for example, rendered in rendering.rows("plan", total, given):
        if (number := writer.add(example, rendered)) is not None:
            units.add(number, example)
    return None if rendering.was_stopped else units


def add_mixed(
    writer: PlanWriter, rendering: Rendering, config: Config, seed: int
) -> list[list[int]] | None:
    """Render the rows that are mixed in beside those that are there.

    Returns:
        Those of each epoch; None where it was stopped.
    """
    num_trajectories = writer.num_rows
    mixed: list[list[int]] = [[] for _ in range(config.num_epochs)]
    for name, mixture in sorted(config.mix.items()):
        per_epoch = rows_per_epoch(name, mixture, num_trajectories)
        source = Source(name, mixture.path, per_epoch * config.num_epochs, seed)
        drawn = set(source.draws)
        given = ((example, None) for _, example in source.examples())
        found = rendering.rows(f"plan {name}", len(drawn), given)
        # In the order of the file. A stop ends it early.
        numbers = {
            row: writer.add(example, rendered)
            for row, (example, rendered) in zip(sorted(drawn), found, strict=False)
        }
        if rendering.was_stopped:
            return None
        of_epochs = [numbers[row] for row in source.draws]
        for epoch, rows in enumerate(mixed):
            part = of_epochs[epoch * per_epoch : (epoch + 1) * per_epoch]
            rows += [row for row in part if row is not None]
    return mixed


@dataclass
class Units:
    """What is dealt out to steps: rows or, where the objective compares them, groups."""

    config: Config
    rows: list[list[int]] = field(default_factory=list)
    is_scored: bool = False
    """Whether any group has a thinking reward."""
    _newest: Group | None = None

    def add(self, number: int, example: Example) -> None:
        """Take in a row; those of a group follow each other."""
        if not self.config.trains_groups or example.group is not self._newest:
            self.rows.append([])
        self.rows[-1].append(number)
        self._newest = example.group
        if example.group is not None:
            self.is_scored |= any(score is not None for score in example.group.thinkings)

    def check(self) -> None:
        """Refuse Trust-GRPO where nobody has scored any thinking.

        Raises:
            InputError: it is so.
        """
        if self.config.objective == "trust-grpo" and not self.is_scored:
            raise InputError(
                "No trajectory has a thinking reward, which train.objective = trust-grpo is about.",
                "Run `sophia judge`, delete rewards/ and trajectories/ and run `sophia "
                "propagate-reward` again; or set train.objective = grpo.",
            )


def make_steps(
    units: Sequence[Sequence[int]], mixed: Sequence[Sequence[int]], batch_size: int, seed: int
) -> list[list[int]]:
    """Cut the shuffled epochs, one behind the other, into optimizer steps.

    Args:
        units: rows that every epoch has, those that belong in the same step together.
        mixed: the mixed-in rows of each epoch.
        batch_size: rows of a step; one has fewer where the next unit does not fit, and the last
            one.
        seed: the run's.
    """
    steps: list[list[int]] = []
    for epoch, extra in enumerate(mixed):
        order = [*units, *([row] for row in extra)]
        random.Random(seed_for(seed, "train", "order", epoch)).shuffle(order)
        for unit in order:
            if not steps or len(steps[-1]) + len(unit) > batch_size:
                steps.append([])
            steps[-1] += unit
    return steps


def unusable(example: Example, config: Config) -> str | None:
    """Why a trajectory teaches nothing under the objective; None: it does."""
    if config.objective == "sophia" and not example.reward > 0:
        return "the reward is not positive"
    if config.importance != "none" and example.behavior_logprob is None:
        return "its log-probability under the behavior model is not known"
    if config.trains_groups and example.group is None:
        return 'it is of no group, as propagate.select = "group" makes them'
    if config.objective == "grpo" and example.advantage is None:
        return "it has no advantage"
    return None


def no_trajectories(rejected: Mapping[str, int]) -> InputError:
    """There is nothing to train on."""
    if not rejected:
        return InputError(
            "There are no trajectories to train on: no sample kept a rollout.",
            "Look at the funnel in `sophia status`; lower propagate.alpha, raise "
            "reason.num_rollouts, or bring more or easier samples.",
        )
    return nothing_left(rejected, "trajectories")


def nothing_left(rejected: Mapping[str, int], what: str = "rows of train.mix") -> InputError:
    """There was something to train on, and none of it can be."""
    reasons = ", ".join(f"{reason}: {count}" for reason, count in rejected.items())
    return InputError(
        f"All {what} were rejected ({reasons}).",
        "Raise train.max_length if they are too long; else change the settings named, or repair "
        "the rows.",
    )
