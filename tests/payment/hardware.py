"""A counter that nobody turns back, in memory."""


class Hardware:
    """`stands` is its value."""

    def __init__(self, stands: int = 0) -> None:
        self.stands = stands

    def counter(self) -> int:
        return self.stands

    def advance(self) -> int:
        self.stands += 1
        return self.stands
