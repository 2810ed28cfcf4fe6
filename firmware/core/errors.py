"""What can go wrong with a terminal as a whole."""


class TerminalError(Exception):
    """The terminal cannot start or refused a request; the message says what, where and what to do."""
