"""Presentation attack instruments, one file per species (`species.SPECIES`), and injected streams (`streams.STREAMS`).

The three functions exported here make the plain surfaces that the demo's stage shows and calibrations were made with.
"""

from hil.artefacts.bent_print import bent_print
from hil.artefacts.flat_print import flat_print
from hil.artefacts.phone_screen import phone_screen

__all__ = ["bent_print", "flat_print", "phone_screen"]
