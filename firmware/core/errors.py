"""What can go wrong with a terminal as a whole."""


class TerminalError(Exception):
    """The terminal cannot start or refused a request; the message says what, where and what to do.

    `reason` is the refusal's code, one of `reasons.SENTENCES`; empty where there is none.
    """

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason
