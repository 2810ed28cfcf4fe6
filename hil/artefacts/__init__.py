"""Presentation attack instruments, one file per species: each makes a surface from its victim's head."""

from hil.artefacts.bent_print import bent_print
from hil.artefacts.flat_print import flat_print
from hil.artefacts.phone_screen import phone_screen

__all__ = ["bent_print", "flat_print", "phone_screen"]
