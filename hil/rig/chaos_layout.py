"""Laying out the installation of a chaos run: one broker, one database, a backend of several processes, many terminals.

Rules kept here:
- Every process is the product's own but for what is labelled: `hil.rig.till` in the place of most terminals (no camera,
  a recorded verdict), `hil.rig.chaos_backend` in the place of `hil.backend` (a clock that may be shifted).
- What a terminal's outbox forgets in time is kept beside it, in the same transaction, by triggers of the rig's own.
- Who pays at a terminal that looks at nobody has real papers and drawn vectors.
"""

import contextlib
import sqlite3
import sys
import time
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from drivers import plugins
from drivers.secure_element.interface import SecureElement
from firmware.gallery.consent import consent_hash, parse_form, sign_consent
from firmware.gallery.gallery import DAY_S, Gallery
from firmware.gallery.notice import load_notice
from firmware.payment import cose, schema
from firmware.payment.messages import Mandate
from firmware.payment.outbox import Outbox
from firmware.runtime.config import Config, load_config
from firmware.vision.networks import template_networks
from firmware.vision.templates import TEMPLATE_SHAPE, Templates
from hil.backend.cluster import Cluster
from hil.backend.keys import load_registrations, registration, save_registrations
from hil.backend.policy import DEMO
from hil.backend.service import DATABASE_VARIABLE
from hil.rig.brokers import Broker
from hil.rig.certificates import Authority
from hil.rig.chaos_network import Wires
from hil.rig.chaos_town import Kept, Terminal, Town
from hil.rig.customer import form_of
from hil.rig.site import MERCHANT, Site, lay_out_element, terminal_toml, tls_table
from hil.rig.soft_tpm import SoftTpm
from hil.rig.verdict_camera import CAMERA

PROFILE = "rig"
HOLD_S = 60
CAMERA_PAYER, CAMERA_SEED = "payer-camera", 1
PEOPLE = 2
"""Enrolled at each terminal on a recorded verdict."""
HISTORY = files("hil.rig") / "chaos_history.sql"


def found(
    folder: Path, broker: Broker, authority: Authority, wires: Wires, cluster: Cluster | None, tills: int, workers: int,
    tpms: Sequence[SoftTpm] = (),
) -> Town:  # fmt: skip
    """Lay out a town of `tills` on a recorded verdict and a backend of `workers`. Nothing runs but the broker.

    `cluster`: where the database is; without it a SQLite file. `tpms`: of the first tills, switched on: these count in
    hardware, and may take something offline; the others' keys are in files.
    """
    site = Site.lay_out(folder / "site", broker, authority, "virtual", {"seed": CAMERA_SEED}, PROFILE)
    backend_wire = wires.lay(broker.port)
    database = cluster.create() if cluster is not None else f"sqlite:///{site.folder / 'backend.db'}"
    _backend_toml(site, authority, backend_wire.port, workers)
    register, *judges = [_backend_process(site, number, database) for number in range(workers + 1)]
    town = Town(folder, site, broker, cluster, database, wires, backend_wire, register, judges, [])
    for number in range(tills):
        tcti = tpms[number].tcti if number < len(tpms) else ""
        town.terminals.append(_till(town, authority, f"till-{2 + number}", tcti))
    for terminal in town.terminals:
        keep_history(terminal.outbox)
    return town


def add_camera(town: Town) -> None:
    """Add the site's own terminal, which looks through a virtual camera."""
    site, wire = town.site, town.wires.lay(town.broker.port)
    text = site.config_path.read_text()
    site.config_path.write_text(text.replace(f"port = {site.broker.port}\n", f"port = {wire.port}\n"))
    site.config, _ = load_config(site.config_path)
    command = (sys.executable, "-m", "firmware.cli", "run", "--config", str(site.config_path))
    kept = Kept(site.config.terminal, command, site.folder / "terminal.log", {})
    terminal = Terminal(site.config.terminal, site.folder, site.config, wire, kept, (CAMERA_PAYER,), camera=True)
    keep_history(terminal.outbox)
    town.terminals.append(terminal)


def people_of(town: Town) -> None:
    """Enrol who pays at the terminals on a recorded verdict: drawn vectors. They do not run yet, the register does."""
    for terminal in town.terminals:
        if not terminal.camera:
            enrol_drawn(town.site, terminal.config, terminal.payers)


def _backend_toml(site: Site, authority: Authority, port: int, workers: int) -> None:
    """One configuration for all processes of the backend, each with a certificate of its own."""
    for number in range(1, workers + 1):
        authority.issue_client(f"backend-{number}")
    tls = tls_table("broker", authority, "backend").replace("/backend.", "/backend{worker}.")
    path = site.folder / "backend.toml"
    text = path.read_text().split("[broker]")[0]
    path.write_text(f'{text}[broker]\nhost = "127.0.0.1"\nport = {port}\n{tls}{_policy()}')


def _policy() -> str:
    """The demonstration's policy, and what is allowed offline: small amounts, held for a minute.

    The first allowance is of no use to a new outbox, and the next follows after half of its time: it is short.
    """
    gates = ", ".join(f'"{gate}"' for gate in DEMO.gates)
    return (
        f'[policy]\nname = "demo"\nprofiles = ["demo", "rig"]\nassurance = "{DEMO.assurance}"\ngates = [{gates}]\n'
        f'match_band = {DEMO.match_band}\nfirmware = "{DEMO.firmware}"\n'
        '[policy.offline]\ncurrency = "EUR"\npayment_minor = 5000\npayer_minor = 100000\nterminal_minor = 200000\n'
        f"hold_s = {HOLD_S}\nallowance_s = 120\n"
    )


def _backend_process(site: Site, number: int, database: str) -> Kept:
    part = "worker" if number else "register"
    command = [sys.executable, "-m", "hil.rig.chaos_backend", "--config", str(site.folder / "backend.toml")]
    command += ["--part", part, "--number", str(number)]
    return Kept(f"{part} {number}", tuple(command), site.folder / f"{part}-{number}.log", {DATABASE_VARIABLE: database})


def _till(town: Town, authority: Authority, name: str, tcti: str) -> Terminal:
    """Lay out one terminal on a recorded verdict, known to the backend; `tcti` is its TPM, empty where it has none."""
    folder, wire = town.folder / name, town.wires.lay(town.broker.port)
    public_key, element = lay_out_element(folder, tcti)
    for shared in ("root.json", "key-set.cose"):
        (folder / shared).write_bytes((town.site.folder / shared).read_bytes())
    link = f'[link]\nhost = "127.0.0.1"\nport = {wire.port}\n{tls_table("link", authority, name)}'
    config_path = folder / "terminal.toml"
    looks = f'[camera]\nsource = "recording"\nserial = "{CAMERA.serial}"\n'
    config_path.write_text(terminal_toml(name, PROFILE, looks, element, link))
    known = town.site.folder / "terminals.json"
    own = replace(registration(name, MERCHANT, PROFILE, public_key), counter=bool(tcti))
    save_registrations(known, [*load_registrations(known), own])
    config, _ = load_config(config_path)
    command = (sys.executable, "-m", "hil.rig.till", "--config", str(config_path))
    payers = tuple(f"payer-{name}-{number}" for number in range(1, PEOPLE + 1))
    return Terminal(name, folder, config, wire, Kept(name, command, folder / "terminal.log", {}), payers, camera=False)


def keep_history(outbox: Path) -> None:
    """Lay out an outbox, and beside its tables one that keeps what it forgets."""
    Outbox(outbox).close()
    with contextlib.closing(sqlite3.connect(outbox)) as db:
        db.executescript(HISTORY.read_text())


def enrol_drawn(site: Site, config: Config, payers: Sequence[str]) -> None:
    """Seal drawn vectors as the templates of its payers, under real papers: a signed consent, the backend's mandate.

    `config` is of a terminal that does not run yet; the site's register does.
    """
    chosen = config.secure_element
    element: SecureElement = plugins.load(plugins.SECURE_ELEMENTS, chosen.backend)(chosen.options)
    notice, now = load_notice(config.privacy), int(time.time())
    gallery = Gallery(Path(config.state_dir) / "gallery.db", element, template_networks())
    with contextlib.closing(element), contextlib.closing(gallery):
        for number, payer in enumerate(payers):
            form = parse_form(form_of(payer, now))
            consent = sign_consent(
                form, terminal=config.terminal, recorded_by="op", now=now, notice=notice, element=element
            )
            mandate = schema.decode(cose.peek(site.mandate(payer, consent, terminal=config.terminal)), Mandate)
            gallery.enrol(
                consent=consent, purposes=("payment",), payer=payer, mandate=mandate.id, templates=_drawn(number),
                retain_until=now + DAY_S, now=now, used=(consent_hash(consent),),
            )  # fmt: skip


def _drawn(seed: int) -> Templates:
    """Templates of nobody: unit vectors in random directions, (2, 3, 128) float32."""
    vectors = np.random.default_rng(seed).normal(size=TEMPLATE_SHAPE).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)
