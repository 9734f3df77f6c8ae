"""FakeClock: time for tests that must not wait."""

__all__ = ["FakeClock"]


class FakeClock:
    """A clock that stands still until a test moves it. Call it for the time, in seconds."""

    def __init__(self, start: float = 4_000_000_000) -> None:
        self.now: float = float(start)

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Moves the clock on by so many seconds."""
        self.now += seconds
