"""What every engine has to do. A test module subclasses these with an engine of its own."""

import itertools
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from scipy import stats

from stages.engines import Completion, Engine, Request
from tests.stages.engines.asking import END_TURN, TOO_LONG, Model, answers, ask, picture
from tests.tiny_models import CONTEXT_LENGTH

RED, BLUE = picture("red"), picture("blue")


class ReasonerContract:
    """For an engine that runs a model without images."""

    num_draws: ClassVar[int] = 1500
    """Tokens whose frequencies are compared with the model's probabilities."""

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, reasoner_path: Path) -> Model:
        return Model(reasoner_path, multimodal=False)

    def test_every_request_is_answered_once(self, engine: Engine) -> None:
        answered = answers(engine, [ask(i, f"Question {i}") for i in range(50)])
        assert all(answer.error is None for answer in answered.values())

    def test_no_requests_no_answers(self, engine: Engine) -> None:
        assert answers(engine, []) == {}

    def test_the_seed_decides(self, engine: Engine) -> None:
        seeds = {"a": 1, "b": 1, "c": 2, "d": 2**63 - 1}
        answered = answers(engine, [ask(name, seed=seed) for name, seed in seeds.items()])
        texts = [answered[name].text for name in seeds]
        assert texts[0] == texts[1]
        assert len(set(texts)) == 3

    def test_logprob_is_the_models_own(self, engine: Engine, model: Model) -> None:
        requests = [ask(i, f"{i}" * i, temperature=0.5 + i / 5, top_p=0.9) for i in range(8)]
        for request, answer in zip(requests, ordered(engine, requests), strict=True):
            expected = model.logprob(request, answer.token_ids)
            assert answer.logprob == pytest.approx(expected, abs=1e-3)

    def test_rows_stop_or_reach_their_own_limit(self, engine: Engine) -> None:
        limits = list(range(1, 200, 8))
        requests = [ask(i, max_tokens=limit) for i, limit in enumerate(limits)]
        reasons = set()
        for answer, limit in zip(ordered(engine, requests), limits, strict=True):
            reasons.add(answer.finish_reason)
            if answer.finish_reason == "stop":
                assert answer.token_ids.index(END_TURN) == len(answer.token_ids) - 1
            else:
                assert len(answer.token_ids) == limit
                assert END_TURN not in answer.token_ids
        assert reasons == {"stop", "length"}

    def test_text_is_what_the_model_wrote_without_the_end(
        self, engine: Engine, model: Model
    ) -> None:
        for answer in ordered(engine, [ask(i, max_tokens=150) for i in range(20)]):
            ids = [i for i in answer.token_ids if i != END_TURN]
            assert answer.text == model.processor.decode(ids, skip_special_tokens=False)

    def test_the_templates_part_of_the_answer_is_told(self, engine: Engine) -> None:
        assert answers(engine, [ask(0)])[0].prefill == "<think>\n"

    def test_temperature_zero_takes_the_likeliest(self, engine: Engine, model: Model) -> None:
        request = ask(0, temperature=0.0, top_p=0.5)
        token_ids = answers(engine, [request])[0].token_ids
        likeliest = model.logprobs(request, token_ids).argmax(dim=-1).tolist()
        assert list(token_ids) == likeliest[: len(token_ids)]

    @pytest.mark.parametrize("temperature", [0.6, 1.0, 1.5])
    def test_tokens_are_drawn_from_the_softmax(
        self, engine: Engine, model: Model, temperature: float
    ) -> None:
        draws = first_tokens(engine, self.num_draws, temperature=temperature)
        logits = model.logprobs(ask(0), []).double() / temperature
        expected = logits[0].softmax(dim=-1).numpy() * len(draws)
        observed = np.bincount(draws, minlength=len(expected))
        # Rare tokens share a bin, as a chi-square test needs five expected in each.
        rare = expected < 5
        expected = np.append(expected[~rare], expected[rare].sum())
        observed = np.append(observed[~rare], observed[rare].sum())
        assert stats.chisquare(observed, expected).pvalue > 1e-3

    def test_top_p_keeps_the_smallest_set(self, engine: Engine, model: Model) -> None:
        draws = first_tokens(engine, 500, top_p=0.3)
        probabilities = model.logprobs(ask(0), [])[0].exp()
        by_rank = probabilities.argsort(descending=True)
        size = int((probabilities[by_rank].cumsum(0) < 0.3).sum()) + 1
        assert set(draws.tolist()) <= set(by_rank[:size].tolist())
        assert len(set(draws.tolist())) > size / 2

    def test_a_prompt_too_long_is_an_error_row(self, engine: Engine) -> None:
        requests = [ask(0), ask(1, TOO_LONG), ask(2)]
        alone = ordered(engine, [requests[0], requests[2]])
        first, long, last = ordered(engine, requests)
        assert (first.text, last.text) == (alone[0].text, alone[1].text)
        assert long.finish_reason == "error"
        assert long.error is not None
        assert long.error.startswith("prompt_too_long: ")
        assert str(CONTEXT_LENGTH) in long.error

    def test_max_tokens_shrink_to_what_fits(self, engine: Engine) -> None:
        requests = [ask(i, "word " * 30, max_tokens=10_000) for i in range(8)]
        lengths = {len(answer.token_ids) for answer in ordered(engine, requests)}
        assert max(lengths) < CONTEXT_LENGTH - 150
        assert len(lengths) < 8

    def test_a_model_without_eyes_rejects_images(self, engine: Engine) -> None:
        error = answers(engine, [ask(0, images=[RED])])[0].error
        assert error is not None
        assert error.startswith("image: ")

    def test_a_stop_ends_the_iterator_and_not_the_engine(self, engine: Engine) -> None:
        requests = [ask(i, group=i // 8, max_tokens=100) for i in range(2000)]
        before = answers(engine, requests[:8])
        stop_after = iter([False] * 5)
        cut_short = list(engine.generate(requests, lambda: next(stop_after, True)))
        assert len(cut_short) < len(requests)
        assert answers(engine, requests[:8]) == before


class PolicyContract:
    """For an engine that runs a model with images."""

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, policy_path: Path) -> Model:
        return Model(policy_path, multimodal=True)

    def test_images_and_text_in_one_stream(self, engine: Engine) -> None:
        images = itertools.cycle([[], [RED], [BLUE], [RED, BLUE]])
        requests = [ask(i, images=next(images)) for i in range(16)]
        assert all(answer.error is None for answer in ordered(engine, requests))

    def test_logprob_is_the_models_own(self, engine: Engine, model: Model) -> None:
        images = [[], [RED], [BLUE], [RED, BLUE]]
        requests = [ask(i, "?" * i, images=images[i]) for i in range(4)]
        for request, answer in zip(requests, ordered(engine, requests), strict=True):
            expected = model.logprob(request, answer.token_ids)
            assert answer.logprob == pytest.approx(expected, abs=1e-3)

    def test_pictures_come_back_among_requests_that_fail(self, engine: Engine) -> None:
        pictures = [picture(colour) for colour in ("red", "green", "blue", "white", "black")]
        requests = [
            ask(i, TOO_LONG if i % 7 == 0 else "?", images=[pictures[i // 3 % 5]], max_tokens=5)
            for i in range(150)
        ]
        for request, answer in zip(requests, ordered(engine, requests), strict=True):
            failed = answer.error is not None
            assert failed == (request.id % 7 == 0)

    def test_the_picture_matters(self, engine: Engine) -> None:
        requests = [ask(name, images=[name], seed=0) for name in (RED, BLUE)]
        red, blue = ordered(engine, requests)
        assert red.logprob != blue.logprob

    def test_a_broken_image_is_an_error_row(self, engine: Engine) -> None:
        requests = [ask(0, images=[RED]), ask(1, images=[RED[:40]]), ask(2, images=[BLUE])]
        alone = ordered(engine, [requests[0], requests[2]])
        first, broken, last = ordered(engine, requests)
        assert (first.text, last.text) == (alone[0].text, alone[1].text)
        assert broken.text is None
        assert broken.finish_reason == "error"
        assert broken.error is not None
        assert broken.error.startswith("image: ")

    def test_images_that_the_messages_dont_mention_are_an_error_row(self, engine: Engine) -> None:
        fine, amiss = ask(0, images=[RED]), ask(1)
        amiss = Request(
            id=1, messages=amiss.messages, images=[RED], sampling=amiss.sampling, seed=1
        )
        error = answers(engine, [fine, amiss])[1].error
        assert error is not None
        assert error.startswith("image: ")

    def test_what_the_template_rejects_is_an_error_row(self, engine: Engine) -> None:
        fine = ask(0)
        amiss = Request(
            id=1, messages=[{"role": "tool", "content": ""}], sampling=fine.sampling, seed=1
        )
        answered = answers(engine, [fine, amiss])
        assert answered[0].error is None
        assert answered[1].error == "template: No tools here."

    def test_nothing_was_prefilled(self, engine: Engine) -> None:
        assert answers(engine, [ask(0, images=[RED])])[0].prefill is None


def ordered(engine: Engine, requests: list[Request]) -> list[Completion]:
    answered = answers(engine, requests)
    return [answered[request.id] for request in requests]


def first_tokens(engine: Engine, count: int, **sampling: float) -> np.ndarray:
    requests = [ask(i, max_tokens=1, **sampling) for i in range(count)]
    return np.array([answer.token_ids[0] for answer in ordered(engine, requests)])
