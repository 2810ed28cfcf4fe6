"""From decisions on presentations that were asked something to what a report says of them.

Rules kept here:
- A pair is one victim and one instrument, however it was held: accepted if any of its presentations was.
- What a simulated person did about a prompt is known (`complied`) and told apart: refusing to smile is no error of a
  measurement, though a terminal refuses it as it must.
- What motion alone would have let pass is judged by itself, without the cues; nothing else answers that.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from firmware.liveness.challenge import PromptKind
from hil.evaluate.dynamic_judge import Excess, Seen
from hil.evaluate.dynamic_trials import Result, instrument
from hil.evaluate.presentation_rates import ErrorRate, apcer, bpcer


@dataclass(frozen=True, slots=True)
class Pairs:
    """One species.

    Attributes:
        presentations: in all, each pair once or twice.
        silent: of these without a response.
        rate: of pairs accepted; None where none got a response.
        without: pairs accepted had nobody asked for motion.
    """

    presentations: int
    silent: int
    rate: ErrorRate | None
    without: ErrorRate | None


@dataclass(frozen=True, slots=True)
class Alone:
    """What motion by itself said of one species.

    Attributes:
        watched: presentations that it decided on.
        measured: of these that no gate refused before anything could be measured.
        passed: that it let pass.
        unasked: largest excess before a prompt, a presentation.
        answering: largest that an answer could have been made of, from the first prompt on, a presentation.
        passive: the same, in units of what counts unasked.
    """

    watched: int
    measured: int
    passed: int
    unasked: list[float]
    answering: list[float]
    passive: list[float]


@dataclass(frozen=True, slots=True)
class Living:
    """People before one policy.

    Attributes:
        shown: people.
        silent: without a response.
        rate: refused, of those with one.
        complying: refused, of those who did what they were asked at least once, or were asked nothing.
        gave_nothing: people who were asked and did nothing about any prompt, by what became of them.
        refused_by: reasons, counted.
        accepted: how many.
        unasked: accepted without any prompt.
        first_try: accepted at the first prompt.
        second_try: accepted after a second.
        seconds: of every accepted person, from the first usable face.
        seconds_first: the same of those accepted at the first prompt.
    """

    shown: int
    silent: int
    rate: ErrorRate | None
    complying: ErrorRate | None
    gave_nothing: Counter[str]
    refused_by: Counter[str]
    accepted: int
    unasked: int
    first_try: int
    second_try: int
    seconds: list[float]
    seconds_first: list[float]


@dataclass(frozen=True, slots=True)
class Prompted:
    """What became of one kind of prompt.

    Attributes:
        shown: to people.
        obeyed: of these, whoever did anything about it.
        answered: sessions accepted on it.
    """

    shown: int
    obeyed: int
    answered: int


def answered(results: Sequence[Result], kind: PromptKind) -> Prompted:
    """Prompts of one kind, over all of these people."""
    told = [
        (complied, place + 1 == len(tried.seen.asked) and tried.seen.decision == "accepted")
        for _, tried in results
        for place, (asked, complied) in enumerate(zip(tried.seen.asked, tried.complied, strict=False))
        if asked.kind == kind
    ]
    return Prompted(len(told), sum(complied for complied, _ in told), sum(took for complied, took in told if complied))


def pairs(results: Sequence[Result]) -> Pairs:
    """Of one species."""
    answered = [(one, tried.seen) for one, tried in results if tried.seen.decision != "non_response"]

    def rate(accepted: Callable[[Seen], bool]) -> ErrorRate | None:
        return apcer((str(one.shot.person), instrument(one), accepted(seen)) for one, seen in answered)

    return Pairs(
        presentations=len(results),
        silent=len(results) - len(answered),
        rate=rate(lambda seen: seen.decision == "accepted"),
        without=rate(lambda seen: seen.without_motion == "accepted"),
    )


def stopped(results: Sequence[Result]) -> Counter[str]:
    """What refused each presentation first: a gate, the cues, motion, or nothing."""
    return Counter(_stopper(tried.seen) for _, tried in results)


def _stopper(seen: Seen) -> str:
    if seen.decision == "accepted":
        return "nothing"
    if seen.decision == "non_response":
        return f"no response ({seen.reason})"
    if seen.reason == "not_alive":
        return "cues"
    if seen.without_motion == "accepted":
        return "motion"
    return seen.gate or seen.reason


def alone(results: Sequence[Result]) -> Alone:
    """What motion by itself said."""
    watched = [tried.alone for _, tried in results if tried.alone is not None]
    return Alone(
        watched=len(watched),
        measured=sum(seen.unasked.frames + seen.answering.frames > 0 for seen in watched),
        passed=sum(seen.decision == "accepted" for seen in watched),
        unasked=_held(seen.unasked for seen in watched),
        answering=_held(seen.answering for seen in watched),
        passive=_held(seen.passive for seen in watched),
    )


def _held(found: Iterable[Excess]) -> list[float]:
    return [one.held for one in found if one.held is not None]


def living(results: Sequence[Result]) -> Living:
    """People before one policy."""
    answered = [result for result in results if result[1].seen.decision != "non_response"]
    accepted = [tried.seen for _, tried in answered if tried.seen.decision == "accepted"]
    nothing = [tried.seen for _, tried in answered if tried.complied and not any(tried.complied)]
    return Living(
        shown=len(results),
        silent=len(results) - len(answered),
        rate=_refused(answered),
        complying=_refused([result for result in answered if not result[1].complied or any(result[1].complied)]),
        gave_nothing=Counter(seen.reason or "accepted" for seen in nothing),
        refused_by=Counter(tried.seen.reason for _, tried in answered if tried.seen.decision == "refused"),
        accepted=len(accepted),
        unasked=sum(not seen.asked for seen in accepted),
        first_try=sum(len(seen.asked) == 1 for seen in accepted),
        second_try=sum(len(seen.asked) > 1 for seen in accepted),
        seconds=[seen.seconds for seen in accepted if seen.seconds is not None],
        seconds_first=[seen.seconds for seen in accepted if seen.seconds is not None and len(seen.asked) == 1],
    )


def _refused(answered: Sequence[Result]) -> ErrorRate | None:
    return bpcer((str(one.shot.person), tried.seen.decision != "accepted") for one, tried in answered)


def percentiles(values: Sequence[float]) -> tuple[float, float]:
    """The middle and the 95th; NaN of nothing."""
    middle, most = np.percentile(values, [50, 95]) if values else (np.nan, np.nan)
    return float(middle), float(most)
