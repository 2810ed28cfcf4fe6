"""What can go wrong in an evaluation."""


class EvaluateError(Exception):
    """An evaluation that cannot be made; the message names file, line where there is one, and what to do."""
