"""Logs: one line per event on standard error, UTC, with the process's name. Never biometrics, keys or envelopes."""

import logging
import time


def set_up(process: str) -> logging.Logger:
    """Send every log line of this process to standard error; return the process's own logger."""
    formatter = logging.Formatter(f"%(asctime)s.%(msecs)03dZ {process} %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    return logging.getLogger(f"tessera.{process}")
