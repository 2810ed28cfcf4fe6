"""`dying_worker.py MOMENT --config FILE`: the backend, killed by `kill -9` at one moment of its first message.

MOMENT: `before_commit`, everything is written and nothing committed; `after_commit`, committed and neither
acknowledged nor answered.
"""

import os
import signal
import sys
from typing import Any

from hil.backend.backend import Backend
from hil.backend.service import main
from hil.backend.store import Transaction


def die_after(owner: type, name: str) -> None:
    """Let the process die as soon as `owner.name` has done its work."""
    honest = getattr(owner, name)

    def dying(*arguments: Any) -> None:
        honest(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, dying)


moment, *rest = sys.argv[1:]
die_after(*{"before_commit": (Transaction, "keep_answer"), "after_commit": (Backend, "handle")}[moment])
sys.exit(main(rest))
