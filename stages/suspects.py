"""Which row an engine dies of: those that it had at its deaths, asked in ever smaller companies.

A row that was with the engine at two deaths in a row is asked again apart from the others, in
companies of an eighth of what the engine had then. The one that it dies of while it has no other is
convicted, after three deaths at least. Between two deaths the engine has to answer a question of
our own (`PROBE`), or it is the engine that is broken and no row.
"""

from collections.abc import Hashable, Mapping

from data.errors import EngineError
from stages.engines import Request, Sampling
from stages.job import Key

APART_AFTER = 2
"""Deaths in a row after which the rows that the engine had are asked apart from the others."""
CONVICTED_AFTER = 3
"""Deaths in a row, at the last of which the engine had nothing else, that convict a row. Of a
group, whose rows can't be asked one by one, the engine is given up."""
NARROWING = 8
"""How much smaller a company is than the one that the engine died of."""
MOST_DEATHS = 8
"""An engine that dies so often without a row to blame is given up: each start of a large model
takes minutes."""
MOST_CONVICTED = 3
"""So is one that dies of so many rows without answering another in between."""

PROBE = Request(
    id=("probe",),
    messages=[{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
    sampling=Sampling(temperature=1.0, max_tokens=1),
    seed=0,
    group=("probe",),
)
"""What any engine that works can answer: some models take no other temperature."""


class Suspects:
    """The rows that the engine had when it died the last time."""

    def __init__(self) -> None:
        self.deaths: dict[Key, int] = {}
        """How often in a row it died while it had them."""
        self.groups: Mapping[Key, Hashable] = {}
        """Their groups, which stay whole."""
        self.num_deaths = 0
        """Since a row was convicted, or all that the engine had were answered."""
        self.num_convicted = 0
        """Since a row was answered."""

    def answered(self, key: Key) -> None:
        """A row was answered: it is none that an engine dies of."""
        if self.deaths.pop(key, None) and not self.deaths:
            self.num_deaths = 0
        self.num_convicted = 0

    def died(self, error: EngineError, had: Mapping[Key, Hashable]) -> Key | None:
        """Count a death of the engine.

        Args:
            error: what it said.
            had: the rows that it had then, with their groups.

        Returns:
            The row that is convicted, if one is.

        Raises:
            EngineError: the engine is given up.
        """
        self.num_deaths += 1
        self.groups = dict(had)
        self.deaths = {key: self.deaths.get(key, 0) + 1 for key in had}
        if self.deaths and min(self.deaths.values()) >= CONVICTED_AFTER and self._is_narrow():
            if len(had) > 1 or self.num_convicted == MOST_CONVICTED:
                raise error
            self.num_convicted += 1
            self.num_deaths = 0
            return self.deaths.popitem()[0]
        if self.num_deaths == MOST_DEATHS:
            raise error
        return None

    def _is_narrow(self) -> bool:
        return len(set(self.groups.values())) == 1

    def company(self) -> list[Key]:
        """The rows to ask next, apart from all others; none where nobody is suspected."""
        size = max(1, len(self.groups) // NARROWING)
        chosen: list[Key] = []
        for key, number in self.deaths.items():
            if number < APART_AFTER:
                continue
            if len(chosen) >= size and self.groups[key] != self.groups[chosen[-1]]:
                break
            chosen.append(key)
        return chosen
