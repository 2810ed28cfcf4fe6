"""Somebody who never moves: a face as it was scanned, whatever the person would do."""

from hil.people.actor import NEUTRAL, Actor, Expression
from hil.people.head import Head
from hil.sensor.surface import Surface


class Still(Actor):
    """The same person at rest in every expression; only the head as a whole can be turned and moved."""

    def __init__(self, person: Actor) -> None:
        """Of `person`."""
        self.name, self._person = f"{person.name}, still", person

    def head(self, expression: Expression) -> Head:
        """As at rest."""
        del expression
        return self._person.head(NEUTRAL)

    def surfaces(self, expression: Expression) -> tuple[Surface, ...]:
        """As at rest."""
        del expression
        return self._person.surfaces(NEUTRAL)
