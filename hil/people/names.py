"""Whom a name means: `virtual-2`, `makehuman-3`, `ict-5`, `james`."""

import re
from pathlib import Path

from hil.people.actor import Actor
from hil.people.generators import GENERATORS, make_actor
from hil.people.head import PeopleError
from hil.people.ict import data_dir_of
from hil.people.person import living_person
from hil.people.transfer import moving_james

PERSON = re.compile(r"(?P<generator>ict|makehuman|virtual)-(?P<seed>\d{1,9})|james")


def find(who: str, data_dir: Path | None = None) -> Actor:
    """The person of that name.

    Args:
        who: their name.
        data_dir: where ICT's file and the scan are; None takes TESSERA_DATA. MakeHuman needs neither.

    Raises:
        PeopleError: there is no such person, or the data it is made from is missing.
    """
    named = PERSON.fullmatch(who)
    if named is None:
        raise PeopleError(f"{who!r} is nobody: people are virtual-N, makehuman-N, ict-N and james")
    if named["generator"] == "virtual":
        return living_person(int(named["seed"]))
    for generator in GENERATORS:
        if named["generator"] == generator:
            return make_actor(generator, int(named["seed"]), data_dir=data_dir)
    return moving_james(data_dir_of() if data_dir is None else data_dir)
