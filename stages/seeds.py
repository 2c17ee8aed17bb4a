"""Seeds from identity: what is drawn for a row follows from the run's seed and the row's key."""

import hashlib
import json


def seed_for(run_seed: int, stage: str, *key: str | int) -> int:
    """A 63-bit seed for one row of one stage.

    The same on every machine and in every order of work. Keys that differ give unrelated seeds.
    """
    text = json.dumps([run_seed, stage, *key]).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1
