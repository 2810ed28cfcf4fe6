"""`tessera element`: make the keys of a terminal, look at them, ask for their certificate.

These open the element themselves, so the terminal must not be running: an element has one owner.
The exchange of keys in force goes through the running terminal instead, which writes it into its audit log:
`tessera upkeep rotate identity`.
"""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from drivers import plugins
from drivers.secure_element.interface import Capability, SecureElement, SecureElementError
from drivers.secure_element.request import certificate_request
from firmware.commands.login import ConfigOption
from firmware.payment.trust import key_id, load_public_key
from firmware.runtime.config import Config, load_config

element = typer.Typer(
    help="The secure element: make its keys, look at it, ask for a certificate.", no_args_is_help=True
)


@element.command("create")
def create(config: ConfigOption) -> None:
    """Make a new device identity and sealing key in an element that holds none."""
    loaded, _ = load_config(config)
    with closing(_open(plugins.SECURE_ELEMENT_MAKERS, loaded)) as made:
        _tell(loaded, made)
    Console().print("now register this key at the backend: `tessera element request` writes a certificate request")


@element.command("show")
def show(config: ConfigOption) -> None:
    """Say which key is in force and what the element can do."""
    loaded, _ = load_config(config)
    with closing(_open(plugins.SECURE_ELEMENTS, loaded)) as opened:
        _tell(loaded, opened)


@element.command("request")
def request(
    config: ConfigOption,
    out: Annotated[Path, typer.Option(help="Where to write the certificate request, PEM.")],
    following: Annotated[
        bool, typer.Option("--next", help="For the next identity, made where none waits; the one in force stays.")
    ] = False,
) -> None:
    """Write a certificate request for the device identity, signed by it inside the element."""
    loaded, _ = load_config(config)
    with closing(_open(plugins.SECURE_ELEMENTS, loaded)) as opened:
        pem = certificate_request(opened, loaded.terminal, waiting=following)
        key = opened.prepare_identity() if following else opened.public_key
    try:
        out.write_bytes(pem)
    except OSError as error:
        raise SecureElementError(f"{out}: cannot be written: {error.strerror}") from error
    Console().print(f"request for {loaded.terminal}, key {_key_id(key)}, in {out}", highlight=False)


def _open(group: str, config: Config) -> SecureElement:
    opened: SecureElement = plugins.load(group, config.secure_element.backend)(config.secure_element.options)
    return opened


def _tell(config: Config, opened: SecureElement) -> None:
    can = ", ".join(sorted(capability.value for capability in opened.capabilities)) or "nothing in hardware"
    console = Console()
    console.print(
        f"{config.secure_element.backend}: key {_key_id(opened.public_key)}; it can do: {can}", highlight=False
    )
    if Capability.MONOTONIC_COUNTER in opened.capabilities:
        console.print(f"counter: {opened.counter()}", highlight=False)


def _key_id(public_key: bytes) -> str:
    return key_id(load_public_key(public_key)).hex()
