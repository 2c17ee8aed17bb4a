"""All that judging needs, loaded and tried once.

The server that workers are forked from imports it, so that each of them begins with it, and no
answer's deadline passes while libraries load and parsers fill their tables.
"""

import contextlib
import logging

import jiwer  # noqa: F401 - the import is the point, here and below
import math_verify  # noqa: F401
import rouge_score.rouge_scorer  # noqa: F401

from stages.verifiers.math import equivalent
from stages.verifiers.selftest import SYMBOLIC, wrong_rules

logging.getLogger("math_verify").setLevel(logging.CRITICAL)  # it warns of what is meant to be so
wrong_rules()
with contextlib.suppress(Exception):  # an engine that breaks here fails its self-test later
    for gold, answer, _ in SYMBOLIC:
        equivalent(gold, answer)
