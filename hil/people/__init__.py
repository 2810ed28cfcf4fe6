"""People the virtual sensor can look at: made-up adults with a skin of their own, and one real scanned head."""

from hil.people.head import Head, PeopleError
from hil.people.person import virtual_person
from hil.people.scan import james

__all__ = ["Head", "PeopleError", "james", "virtual_person"]
