"""Every species of instrument that is shown to the sensor, by name. Streams fed past it are in `streams`."""

from collections.abc import Mapping
from types import MappingProxyType

from hil.artefacts.animated_photo import ANIMATED
from hil.artefacts.bent_print import BENT
from hil.artefacts.cutout_print import CUTOUT
from hil.artefacts.flat_print import FLAT_DYE, FLAT_TONER
from hil.artefacts.folded_print import FOLDED
from hil.artefacts.glossy_print import GLOSSY
from hil.artefacts.instrument import Species
from hil.artefacts.mannequin import MANNEQUIN
from hil.artefacts.printed_head import HEAD_BARE, HEAD_PAINTED, HEAD_TRANSLUCENT
from hil.artefacts.rigid_mask import RIGID_MASK
from hil.artefacts.screen import LCD, OLED
from hil.artefacts.silicone_mask import SILICONE_MASK
from hil.artefacts.touched_print import TOUCHED

SPECIES: Mapping[str, Species] = MappingProxyType(
    {
        species.name: species
        for species in (
            FLAT_TONER,
            FLAT_DYE,
            BENT,
            FOLDED,
            TOUCHED,
            CUTOUT,
            GLOSSY,
            LCD,
            OLED,
            ANIMATED,
            MANNEQUIN,
            HEAD_PAINTED,
            HEAD_BARE,
            HEAD_TRANSLUCENT,
            RIGID_MASK,
            SILICONE_MASK,
        )
    }
)
