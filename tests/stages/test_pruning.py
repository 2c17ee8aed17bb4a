"""Exact pruning: what Eq. 6 selects is the same, whatever is given up and in whatever order."""

import random
from collections import Counter
from itertools import groupby

import pytest

from stages.job import Key
from stages.propagate_reward import Config
from stages.pruning import Pruner
from tests.stages.equations import Scored, caption_reward, choose

Table = dict[Key, Scored]


def make_table(draw: random.Random, num_captions: int, num_rollouts: int) -> Table:
    """A sample's rollouts as they are without pruning; few lengths, so that there are ties."""
    longest = draw.choice([3, 10, 40])
    table = {}
    for caption in range(num_captions):
        rate = draw.choice([0.0, 0.3, 0.7, 0.9, 1.0])
        for rollout in range(num_rollouts):
            kind = draw.choices(("stop", "unjudged", "length", "error"), (85, 5, 5, 5))[0]
            outcome = {"length": 0.0, "stop": float(draw.random() < rate)}.get(kind)
            table["s", caption, rollout] = Scored(
                sample_id="s",
                caption_index=caption,
                rollout_index=rollout,
                num_tokens=longest if kind == "length" else draw.randint(1, longest),
                finish_reason="stop" if kind == "unjudged" else kind,
                status=kind,
                outcome_reward=outcome,
            )
    return table


def given_up(row: Scored, num_tokens: int) -> Scored:
    return Scored(
        sample_id=row.sample_id,
        caption_index=row.caption_index,
        rollout_index=row.rollout_index,
        num_tokens=num_tokens,
        finish_reason="pruned",
        status="unverifiable",
        outcome_reward=None,
    )


def write(table: Table, settings: Config, num_rollouts: int, draw: random.Random) -> Table:
    """Write the rollouts of a table in random turns, with verdicts that come late, and kills."""
    done: Table = {}
    while len(done) < len(table):
        pruner = Pruner(alpha=settings.alpha, keep=settings.keep, num_rollouts=num_rollouts)
        pruner.expect("s", len(table))
        unheard = list(done.values())
        todo = [key for key in table if key not in done]
        draw.shuffle(todo)
        written: dict[Key, int] = {}  # rollout in flight -> its tokens so far
        slots = draw.randint(1, len(table))
        hears_late = draw.random()
        killed_at = draw.choice([draw.randint(1, 100), 10**6])

        def hear(pruner: Pruner = pruner, unheard: list[Scored] = unheard) -> None:
            row = unheard.pop(draw.randrange(len(unheard)))
            if row.finish_reason == "pruned":
                pruner.pruned(row.key, row.num_tokens)
            else:
                pruner.finished(row.key, row.num_tokens, row.outcome_reward)

        for _ in range(killed_at):
            while unheard and draw.random() > hears_late:
                hear()
            if todo and len(written) < slots:
                key = todo.pop()
                if pruner.admits(key):
                    written[key] = 0
                else:
                    done[key] = given_up(table[key], 0)
                    unheard.append(done[key])
            if not written and not todo:
                break
            for key in draw.sample(list(written), k=min(2, len(written))):
                written[key] += 1
                if written[key] == table[key].num_tokens:
                    done[key] = table[key]
                elif not pruner.keeps(key, written[key]):
                    done[key] = given_up(table[key], written[key])
                else:
                    continue
                del written[key]
                unheard.append(done[key])
        while unheard:
            hear()
        assert len(done) < len(table) or not pruner.follows("s"), "the sample is forgotten"
    return {key: done[key] for key in table}


def judge(table: Table, config: Config) -> tuple[list[Key], dict[int, str]]:
    """What is selected, and the side of alpha of each caption."""
    rows = list(table.values())
    captions = {
        caption: caption_reward(list(members), config.alpha)
        for caption, members in groupby(rows, key=lambda row: row.caption_index)
    }
    selected = [row.key for row in choose(rows, captions, config, run_seed=0)]
    return selected, {caption: reward.state for caption, reward in captions.items()}


def test_selection_is_the_same_for_any_table_and_order() -> None:
    counts: Counter[str] = Counter()
    for seed in range(3000):
        draw = random.Random(seed)
        num_rollouts = draw.randint(1, 8)
        table = make_table(draw, draw.randint(1, 6), num_rollouts)
        config = Config(alpha=draw.choice([0.0, 0.25, 0.5, 0.75, 0.9]), keep=draw.choice([1, 1, 3]))
        pruned = write(table, config, num_rollouts, draw)
        (selected, states), (expected, true_states) = judge(pruned, config), judge(table, config)
        assert selected == expected, seed
        assert states == true_states, seed
        for row in pruned.values():
            if row.finish_reason == "pruned":
                assert states[row.caption_index] != "undecided", seed
                counts[
                    states[row.caption_index], "started" if row.num_tokens else "not started"
                ] += 1
        counts["rows"] += len(table)
        counts["selected"] += len(selected)
    assert counts["above", "started"] > 2000
    assert counts["below", "started"] > 2000
    assert counts["below", "not started"] > 2000
    assert counts["above", "not started"] == 0, "they could be shorter"
    assert counts["selected"] > 1000


def finish(pruner: Pruner, caption: int, outcomes: list[tuple[int, float | None]]) -> None:
    for rollout, (num_tokens, outcome) in enumerate(outcomes):
        pruner.finished(("s", caption, rollout), num_tokens, outcome)


@pytest.fixture
def pruner() -> Pruner:
    """Two captions of four rollouts: three right ones are above alpha, two wrong ones below."""
    pruner = Pruner(alpha=0.5, keep=1, num_rollouts=4)
    pruner.expect("s", 8)
    return pruner


def test_a_caption_below_alpha_needs_no_more_rollouts(pruner: Pruner) -> None:
    finish(pruner, 0, [(9, 0.0)])
    assert pruner.admits(("s", 0, 2)) and pruner.keeps(("s", 0, 3), 100)
    finish(pruner, 0, [(9, 0.0), (9, 0.0)])
    assert not pruner.admits(("s", 0, 2)) and not pruner.keeps(("s", 0, 3), 1)
    assert pruner.admits(("s", 1, 0)), "the other caption is undecided"


def test_a_caption_above_alpha_needs_shorter_rollouts(pruner: Pruner) -> None:
    finish(pruner, 0, [(9, 1.0), (7, 1.0), (8, 1.0)])
    assert pruner.admits(("s", 0, 3)) and pruner.keeps(("s", 0, 3), 6)
    assert not pruner.keeps(("s", 0, 3), 7), "it has not ended, so it will be longer"
    assert pruner.keeps(("s", 1, 0), 1000), "its caption is undecided"
    finish(pruner, 1, [(9, 1.0), (9, 1.0), (5, 1.0)])
    assert not pruner.keeps(("s", 0, 3), 5) and not pruner.keeps(("s", 1, 3), 5)


def test_an_unjudged_rollout_settles_nothing(pruner: Pruner) -> None:
    finish(pruner, 0, [(9, 0.0), (9, None), (9, 1.0)])
    assert pruner.keeps(("s", 0, 3), 1000)


def test_a_rollout_that_is_there_is_not_worth_repeating(pruner: Pruner) -> None:
    finish(pruner, 0, [(9, None)])
    assert not pruner.keeps(("s", 0, 0), 1)
    pruner.finished(("s", 0, 0), 9, 0.0)
    pruner.pruned(("s", 0, 0), 9)
    finish(pruner, 1, [(9, 0.0)])
    assert pruner.keeps(("s", 0, 1), 1)
    assert pruner.figures()["rollouts_pruned"] == 0


def test_what_nobody_announced_goes_on(pruner: Pruner) -> None:
    pruner.finished(("t", 0, 0), 5, 0.0)
    assert pruner.admits(("t", 0, 0)) and pruner.keeps(("t", 0, 1), 5)


def test_savings_are_estimated_by_mean_residual_length(pruner: Pruner) -> None:
    finish(pruner, 0, [(10, 0.0), (20, 0.0)])
    finish(pruner, 1, [(30, 1.0), (2, 1.0)])
    pruner.pruned(("s", 0, 2), 0)  # 15.5 in the mean
    pruner.pruned(("s", 0, 3), 12)  # 20 and 30: 13 more
    pruner.pruned(("s", 1, 3), 30)  # nothing finished was longer
    assert pruner.figures() == {
        "rollouts_pruned": 3,
        "tokens_of_pruned": 42,
        "tokens_saved_estimate": 28,
    }
