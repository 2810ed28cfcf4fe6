"""What can go wrong with the audit log."""

from typing import Literal

Code = Literal["audit_write", "audit_damaged", "audit_unusable"]


class AuditError(Exception):
    """The log cannot be written or read: what should have been recorded must not be done. `code` is the refusal's."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code: Code = code
