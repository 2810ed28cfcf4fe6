"""People the virtual sensor can look at: made-up adults with a skin of their own, and one real scanned head.

`virtual_person` and `james` are the still heads of the demo's calibration. People who move, of every age and of two
generators, are actors: `generators.make_actor`, `transfer.moving_james`, and `living.Timeline` for their motion.
"""

from hil.people.head import Head, PeopleError
from hil.people.person import virtual_person
from hil.people.scan import james

__all__ = ["Head", "PeopleError", "james", "virtual_person"]
