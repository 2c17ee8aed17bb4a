"""All that judging needs, loaded and tried once.

The server that workers are forked from imports it, so that each of them begins with it, and no
answer's deadline passes while libraries load.
"""

import jiwer  # noqa: F401 - the import is the point, here and below
import math_verify  # noqa: F401
import rouge_score.rouge_scorer  # noqa: F401

import stages.verifiers.math  # noqa: F401
from stages.verifiers.selftest import wrong_rules

wrong_rules()
