"""Finding cameras, neural processors and secure elements by Python entry point.

An integrator adds a device by publishing an entry point in one of the groups below; nothing in
`drivers` changes. A name that is not installed is an error that lists the names that are.
"""

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

CAMERAS = "tessera.cameras"
CAMERA_LISTS = "tessera.camera_lists"
EXPOSURES = "tessera.exposures"
NETWORKS = "tessera.npu"
SECURE_ELEMENTS = "tessera.secure_elements"
SECURE_ELEMENT_MAKERS = "tessera.secure_element_makers"


class PluginError(Exception):
    """No such plug-in, or the plug-in's own requirements are not installed."""


def names(group: str) -> list[str]:
    """Return the names installed in `group`, sorted."""
    return sorted({point.name for point in entry_points(group=group)})


def load(group: str, name: str) -> Callable[..., Any]:
    """Return the factory registered as `name` in `group`.

    Raises:
        PluginError: there is none of that name, or importing it failed for want of a package.
    """
    found = {point.name: point for point in entry_points(group=group)}
    if name not in found:
        raise PluginError(f"no {group} plug-in named {name!r}; installed: {', '.join(sorted(found)) or 'none'}")
    try:
        factory: Callable[..., Any] = found[name].load()
    except ImportError as error:
        extra = "hil" if found[name].module.startswith("hil.") else name
        raise PluginError(
            f"{group} plug-in {name!r} cannot be loaded: {error}; in Tessera's checkout: `make setup-dev`, "
            f"or pip install -c constraints.txt '.[{extra}]'"
        ) from error
    return factory
