"""A report for tests that look at tables, not at progress."""


class SilentReport:
    def start(self, what: str, total: int, done: int) -> None:
        pass

    def advance(self, *, rows: int = 0, tokens: int = 0, errors: int = 0) -> None:
        pass

    def note(self, text: str) -> None:
        pass
