"""What whoever runs the backend does apart from payments: look at the fleet, keep its keys, terminals, certificates.

The files a running backend uses are replaced whole, and it takes them up by itself.
"""

import os
import textwrap
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from firmware.link.tls import LinkError
from firmware.payment.errors import PaymentError
from firmware.payment.messages import Environment, KeySet
from firmware.payment.trust import key_id, load_public_key
from hil.backend import fleet_view, registry, rotation
from hil.backend.beginning import prepare
from hil.backend.caller import answer, calling
from hil.backend.desk import RegisterOption, TokenOption
from hil.backend.disk import named
from hil.backend.fleet import DAY_S, Fleet
from hil.backend.fleet_store import Certified
from hil.backend.fleet_view import FleetView
from hil.backend.installation import ServiceConfig, database_of, load_installation, load_service_config
from hil.backend.keys import create_root, load_backend_key, replace
from hil.backend.policy import Registration
from hil.backend.revocations import revocation_list, taken_back
from hil.backend.service import DATABASE_VARIABLE, wall_clock
from hil.backend.store import Store

# a terminal that was off for so long cannot ask over the broker: its certificate has ended
BY_HAND_AGE_S = 90 * DAY_S
# a table as wide as it wants to be; where the screen is narrower each terminal has lines of its own
WIDEST = 10_000

ConfigOption = Annotated[Path, typer.Option(help="The backend's TOML file.")]
RootOption = Annotated[Path, typer.Option(help="The root's private key, PEM.")]
CounterOption = Annotated[
    bool, typer.Option("--counter", help="Its element counts in hardware; without it nothing is taken offline.")
]
RequestOption = Annotated[Path, typer.Option(help="What `tessera element request` wrote, PEM.")]


def _set(value: str | None) -> str | None:
    """A variable that is set to nothing is not one that is not set."""
    return os.environ.get(DATABASE_VARIABLE) if value is None else value


DatabaseOption = Annotated[
    str | None,
    typer.Option(
        envvar=DATABASE_VARIABLE,
        callback=_set,
        help="sqlite:///FILE or postgresql://...; the file's `store` where absent.",
    ),
]

keys = typer.Typer(help="The keys the backend signs with, and the root above them.", no_args_is_help=True)
terminals = typer.Typer(help="Which terminals the backend knows, and whose key counts.", no_args_is_help=True)


def fleet(register: RegisterOption, token: TokenOption) -> None:
    """Show every terminal: there or not, with what, what waits. Exit 1 where somebody must act."""
    with calling(register, token) as http:
        view = answer(http, "GET", "/fleet", FleetView)
    console = Console()
    table = Table(*fleet_view.COLUMNS, box=None)
    for terminal in view.terminals:
        table.add_row(*fleet_view.row(terminal))
    if Measurement.get(console, console.options.update(max_width=WIDEST), table).maximum <= console.width:
        console.print(table)
    else:
        for terminal in view.terminals:
            cells = zip(fleet_view.COLUMNS, fleet_view.row(terminal), strict=True)
            lines = textwrap.wrap(
                "; ".join(f"{name} {cell}" for name, cell in cells), console.width, subsequent_indent="  "
            )
            console.print("\n".join(lines), highlight=False, markup=False)
    console.print(fleet_view.summary(view), highlight=False)
    if view.alarm:
        console.print(view.alarm, style="bold red", highlight=False)
        raise typer.Exit(1)


def certify(
    terminal: Annotated[str, typer.Argument(help="Which terminal.")],
    request: Annotated[Path, typer.Option(help="What `tessera link request` wrote.")],
    out: Annotated[Path, typer.Option(help="Where to write the grant, for `tessera link install`.")],
    config: ConfigOption,
    database: DatabaseOption = None,
) -> None:
    """Answer, by hand, a request for a certificate of a link that cannot ask by itself any more."""
    with named(request):
        envelope = request.read_bytes()
    loaded = load_service_config(config)
    installation, store = load_installation(config, loaded), _kept(config, loaded, database)
    try:
        grant = Fleet(store, installation, wall_clock).certificate(terminal, envelope, age_s=BY_HAND_AGE_S)
        with named(out):
            out.write_bytes(grant)
    finally:
        store.close()
    Console().print(f"a certificate for the link of {terminal} in {out}", highlight=False)


def revocations(
    listed: Annotated[Path, typer.Option("--list", help="The authority's list, PEM, which broker and links read.")],
    config: ConfigOption,
    database: DatabaseOption = None,
    first: Annotated[
        bool,
        typer.Option("--first", help="No backend has run yet: an empty list for it and the broker to begin with."),
    ] = False,
) -> None:
    """Put the certificates of terminals whose key no longer counts on the list, and sign it for another week."""
    if first and listed.exists():
        raise PaymentError("trust", f"{listed}: is there already; what is on it stays on it")
    loaded = load_service_config(config)
    installation, at = load_installation(config, loaded), wall_clock()
    certifier = installation.certifier
    if certifier is None:
        raise PaymentError("trust", f"{config}: certifier: missing; no link is certified here")
    gone: list[Certified] = []
    if not first:
        store = _kept(config, loaded, database)
        try:
            gone = store.transact(lambda ledger: taken_back(ledger, installation.terminals.registrations, at))
        finally:
            store.close()
    serials = [int(each.serial, 16) for each in gone]
    replace(listed, revocation_list(listed, certifier.ca, certifier.key, serials, at))
    Console().print(f"{listed}: {len(gone)} certificates that are still good are taken back", highlight=False)


def _kept(config: Path, loaded: ServiceConfig, database: str | None) -> Store:
    """The store of a running backend: a new one would know of no certificate and of no suspension."""
    return Store(database_of(config, loaded, database), make=False)


@keys.command("root")
def make_root(
    folder: Annotated[Path, typer.Argument(help="Where to write root.key and root.json.")],
    environment: Annotated[Environment, typer.Option(help="What its key sets may be for.")] = "demo",
) -> None:
    """Make a root: root.json is for the backend and for every terminal, root.key stays where nobody gets at it."""
    made = create_root(folder / "root.key", folder / "root.json", environment)
    kid = key_id(made.public_key()).hex()
    Console().print(f"root {kid} for {environment} in {folder}; keep root.key apart from the backend", highlight=False)


@keys.command("renew")
def renew(
    config: ConfigOption,
    root: RootOption,
    version: Annotated[
        int | None, typer.Option(min=1, help="Where the last is not known: the set gets the key in use and no other.")
    ] = None,
) -> None:
    """Sign the key set again, for another 90 days; the first with `--version 1`, and a key that is made for it."""
    _tell(rotation.renew(rotation.KeyFiles.of(config), root, version))


@keys.command("rotate")
def rotate(config: ConfigOption, root: RootOption) -> None:
    """Make the next key and put it into the set; `switch` once terminals have that set (`tessera backend fleet`)."""
    _tell(rotation.rotate(rotation.KeyFiles.of(config), root))


@keys.command("switch")
def switch(config: ConfigOption) -> None:
    """Sign with the next key from now on."""
    kid = rotation.switch(rotation.KeyFiles.of(config))
    Console().print(f"{kid.hex()} signs from now on; revoke the one before once nothing of it is on its way")


@keys.command("revoke")
def revoke_key(
    kid: Annotated[str, typer.Argument(help="The key's id, as `show` says it.")], config: ConfigOption, root: RootOption
) -> None:
    """Take a key out of the set: terminals believe nothing it signs any more."""
    try:
        found = bytes.fromhex(kid)
    except ValueError as error:
        raise PaymentError("key_set", f"{kid}: not a key's id") from error
    _tell(rotation.revoke(rotation.KeyFiles.of(config), root, found))


@keys.command("show")
def show(config: ConfigOption) -> None:
    """Say which keys count, which of them signs, and until when."""
    files = rotation.KeyFiles.of(config)
    used = key_id(load_backend_key(files.key).public_key())
    _tell(files.in_force())
    Console().print(f"{used.hex()} signs", highlight=False)


def _tell(made: KeySet) -> None:
    ends = datetime.fromtimestamp(made.expires_at, timezone.utc)
    ids = ", ".join(key_id(load_public_key(key)).hex() for key in made.keys)
    Console().print(f"key set {made.version} for {made.environment}, until {ends:%Y-%m-%d}: {ids}", highlight=False)


@terminals.command("register")
def register_terminal(
    terminal: Annotated[str, typer.Argument(help="Its id.")],
    merchant: Annotated[str, typer.Option(help="Where it stands.")],
    profile: Annotated[str, typer.Option(help="The profile it runs.")],
    request: RequestOption,
    config: ConfigOption,
    counter: CounterOption = False,
) -> None:
    """Register a terminal by the request its device key signed."""
    _taken(config, profile)
    _told(registry.register(_terminals(config), terminal, merchant, profile, request, counter=counter))


@terminals.command("correct")
def correct(
    terminal: Annotated[str, typer.Argument(help="Its id.")],
    config: ConfigOption,
    merchant: Annotated[str | None, typer.Option(help="Where it stands.")] = None,
    profile: Annotated[str | None, typer.Option(help="The profile it runs.")] = None,
) -> None:
    """Say otherwise where a terminal stands or what profile it runs; its key stays, and whether it counts."""
    if profile is not None:
        _taken(config, profile)
    _told(registry.correct(_terminals(config), terminal, merchant=merchant, profile=profile))


@terminals.command("rekey")
def rekey(
    terminal: Annotated[str, typer.Argument(help="Its id.")],
    request: RequestOption,
    config: ConfigOption,
    counter: CounterOption = False,
) -> None:
    """Let a terminal go on with a new key; this lifts a suspension. The old key never counts again."""
    _told(registry.rekey(_terminals(config), terminal, request, counter=counter))


@terminals.command("revoke")
def revoke_terminal(terminal: Annotated[str, typer.Argument(help="Its id.")], config: ConfigOption) -> None:
    """Let a terminal's key no longer count; also says what would keep a backend from beginning with its files."""
    registry.revoke(_terminals(config), terminal)
    console = Console()
    console.print(f"{terminal}: its key no longer counts", highlight=False)
    try:
        prepare(config, 0, None)
    except (PaymentError, LinkError) as error:
        console.print(f"but none can begin with {config}: {error}", style="bold red", highlight=False)
        console.print("one that runs lets this key go within seconds, and takes up nothing else", highlight=False)


def _terminals(config: Path) -> Path:
    return config.resolve().parent / load_service_config(config).terminals


def _taken(config: Path, profile: str) -> None:
    """Raise PaymentError where nothing of a terminal of this profile would be approved."""
    policy = load_service_config(config).policy
    if profile not in policy.profiles:
        raise PaymentError("profile", f"{profile}: policy {policy.name} takes {', '.join(policy.profiles)} only")


def _told(known: Registration) -> None:
    Console().print(f"{known.terminal} at {known.merchant}, profile {known.profile}", highlight=False)
