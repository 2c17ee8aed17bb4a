"""A report for tests that look at tables, not at progress."""


class SilentReport:
    def start(self, what: str, total: int, done: int, table: str | None = None) -> None:
        pass

    def advance(self, **counts: int) -> None:
        pass

    def watch(self, figures: object) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def tick(self) -> None:
        pass
