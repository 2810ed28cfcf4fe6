"""What the terminal asks a person to do with their face, and when: drawn anew for every session.

    drawn ---settled---> waiting ---due, shown---> asked ---answered---> (the next prompt of the try) ---> passed
                            ^                        |
                            +---- the next try ------+---- window over, or the face was lost; after the last: spent

Rules kept here:
- Every try holds one prompt of the lower face: a head on a stick turns and nods, and behind a worn mask living eyes
  blink, but neither smiles. Turns only add.
- Kind, order and wait are drawn from the secure element; the second try asks for another movement, so that who cannot
  do one may do the other.
- A prompt that was shown is spent, whatever became of it. There are two tries.
- No clock is read here: times are handed in, monotonic nanoseconds.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

PromptKind = Literal["smile", "mouth_open", "speak", "turn_left", "turn_right", "look_up"]
LOWER_FACE: Final[tuple[PromptKind, ...]] = ("smile", "mouth_open", "speak")
TURNS: Final[tuple[PromptKind, ...]] = ("turn_left", "turn_right", "look_up")

TRIES: Final = 2
WAIT_S: Final = (0.2, 1.0)
"""Between which the wait before a prompt is drawn."""
SOONEST_S: Final = 0.2
"""Nobody answers sooner: reacting to a mere flash takes 0.231 s (Woods et al. 2015, 1469 people)."""
WINDOW_S: Final = 3.0
"""After its onset a prompt may be answered for this long."""
ANSWERS: Final = 2
"""Frames in a row that an answer takes."""
_STEPS = 1 << 32


@dataclass(frozen=True, slots=True)
class Step:
    """One prompt, and how long to wait before it is shown."""

    kind: PromptKind
    wait_s: float


Try = tuple[Step, ...]


def draw(random: Callable[[int], bytes], turns: int) -> tuple[Try, ...]:
    """The tries of one session.

    Args:
        random: `random(n)` gives n unpredictable bytes, the secure element's.
        turns: prompts of `TURNS` in every try, besides the one of the lower face.
    """

    def share() -> float:
        return int.from_bytes(random(4), "big") / _STEPS

    def one(kinds: tuple[PromptKind, ...]) -> PromptKind:
        return kinds[int(share() * len(kinds))]

    tries: list[Try] = []
    left = LOWER_FACE
    for _ in range(TRIES):
        lower = one(left)
        left = tuple(kind for kind in left if kind != lower)
        kinds = [one(TURNS) for _ in range(turns)]
        kinds.insert(int(share() * (turns + 1)), lower)
        low, high = WAIT_S
        tries.append(tuple(Step(kind, low + (high - low) * share()) for kind in kinds))
    return tuple(tries)


@dataclass(frozen=True, slots=True)
class Challenge:
    """Where a session's challenge stands: every event gives the next value.

    Attributes:
        tries: as drawn.
        at: the try in hand, counted from 0; `len(tries)` once all are spent.
        step: the prompt of it in hand.
        due_ns: when that is to be shown; None while the face is not settled, or it has been shown.
        shown_ns: when it was shown.
        answered: frames in a row that answered it.
        passed: whether a whole try was answered.
    """

    tries: tuple[Try, ...]
    at: int = 0
    step: int = 0
    due_ns: int | None = None
    shown_ns: int | None = None
    answered: int = 0
    passed: bool = False

    @property
    def spent(self) -> bool:
        """Whether every try was shown and none answered."""
        return not self.passed and self.at >= len(self.tries)

    @property
    def prompt(self) -> PromptKind | None:
        """What stands on the screen; None while nothing does."""
        return None if self.shown_ns is None else self.tries[self.at][self.step].kind

    def due(self, now_ns: int) -> PromptKind | None:
        """What is to be shown now; None where nothing is."""
        if self.due_ns is None or now_ns < self.due_ns:
            return None
        return self.tries[self.at][self.step].kind

    def settled(self, now_ns: int) -> "Challenge":
        """The face is there and at rest: the wait begins, unless it has."""
        if self.passed or self.spent or self.due_ns is not None or self.shown_ns is not None:
            return self
        return replace(self, due_ns=now_ns + int(self.tries[self.at][self.step].wait_s * 1e9))

    def shown(self, now_ns: int) -> "Challenge":
        """The prompt that was due stands on the screen since `now_ns`."""
        return self if self.due_ns is None else replace(self, due_ns=None, shown_ns=now_ns, answered=0)

    def saw(self, now_ns: int, answers: bool) -> "Challenge":
        """Take one frame of `now_ns`: whether it does what the prompt asks."""
        if self.shown_ns is None:
            return self
        since_s = (now_ns - self.shown_ns) / 1e9
        if since_s > WINDOW_S:
            return self.failed()
        answered = self.answered + 1 if answers and since_s >= SOONEST_S else 0
        if answered < ANSWERS:
            return replace(self, answered=answered)
        if self.step + 1 == len(self.tries[self.at]):
            return replace(self, shown_ns=None, passed=True)
        return replace(self, shown_ns=None, step=self.step + 1, answered=0).settled(now_ns)

    def failed(self) -> "Challenge":
        """The prompt on the screen was not answered, or the face was lost meanwhile: the try is spent."""
        begun = self.shown_ns is not None or self.step > 0 or self.passed
        return Challenge(self.tries, self.at + begun)
