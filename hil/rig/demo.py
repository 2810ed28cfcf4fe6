"""`tessera demo`: the whole path in under two minutes, told in plain lines. Simulated camera, simulated people.

A customer enrols with consent and pays; prints of them, a replay on a phone and a stranger are refused, each for
the reason it must be. Then the register asks for dynamic evidence: the customer does what the terminal asks of their
face, a painted 3D-printed head of them, which has their shape and their skin's tone, does not. The customer withdraws
and is a stranger too. Everything but the camera and the people is real: processes, shared memory, networks,
signatures, broker, backend.

The terminal runs in profile `rig`, which tells why: anywhere else every sign of an attack is the same sentence, to the
customer as to the register, and the demo shows that sentence too.
"""

import contextlib
import datetime
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.status import Status as Spinner

from firmware.core.client import ask
from firmware.core.reasons import FALLBACK, INSTEAD, REST, SENTENCES, THANKS
from firmware.payment.mandate import verify_erasure
from firmware.payment.messages import Assurance
from firmware.runtime.ipc import IpcError
from firmware.runtime.messages import Erase, Event, Subscribe
from hil.people.living import PROMPT_KINDS
from hil.rig.contact_sheet import Panel, draw
from hil.rig.customer import TURNS, Visit, enrol, fingerprint, form_of, hear, obliging, pay, pay_moving
from hil.rig.ended import end_in_good_order
from hil.rig.site import STAFF, Site, SiteError
from hil.sensor.stage import Alive, Stage

PAYER = "payer-ada"
AMOUNT, CURRENCY = "12.50", "EUR"
# People 0 to 80 001 belong to the demo; tests, benchmark and calibration use others.
MAX_SEED = 40_000
UNCONFIRMED = "declined/not_confirmed"
APPROVED, FLAT = (("approved", "approved"),), (("flat", UNCONFIRMED),)
SPOKEN = ("tap", *TURNS, *PROMPT_KINDS, THANKS[0], REST[0])


class Scene(msgspec.Struct, frozen=True):
    """A payment attempt and how it must end.

    Attributes:
        title: who or what stands there.
        stage: the same.
        ends: the terminal's own reason, and what the register is told; or another pair, where either will do.
        assurance: the least evidence of life that the register asks for.
    """

    title: str
    stage: Stage
    ends: tuple[tuple[str, str], ...]
    assurance: Assurance = "geometry"


def person(number: int) -> Alive:
    """A person of the demo: somebody who does what is asked."""
    return Alive(f"virtual-{number}", obliging(number))


def scenes(seed: int) -> tuple[Scene, ...]:
    """The attempts between enrolment and withdrawal."""
    customer, stranger = person(2 * seed), person(2 * seed + 1)
    phone = Stage(subject=customer, artefact="phone_screen", distance_mm=350)
    head = Stage(subject=customer, artefact="printed_head_painted")
    # of some people's heads the soft cues have enough before the time to move is over
    unmoved = (("no_answer", "declined/no_answer"), ("not_alive", UNCONFIRMED))
    return (
        Scene("the customer", Stage(subject=customer), APPROVED),
        Scene("a flat print of the customer", Stage(subject=customer, artefact="flat_print"), FLAT),
        Scene("a bent print of the customer", Stage(subject=customer, artefact="bent_print"), FLAT),
        Scene("a replay of the customer on a phone", phone, (("no_face", "declined/no_face"),)),
        Scene("a stranger", Stage(subject=stranger), (("not_recognised", UNCONFIRMED),)),
        Scene("the customer, asked to move", Stage(subject=customer), APPROVED, "dynamic"),
        Scene("a 3D-printed head of the customer, asked", head, unmoved, "dynamic"),
    )


def demo(
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Other people, other noise.")] = 1,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running at the end, until Ctrl-C.")] = False,
    out: Annotated[Path | None, typer.Option(help="Run directory; must not exist.")] = None,
) -> None:
    """Enrol, pay, move when asked, refuse prints, replay, head and stranger, withdraw. Exit 0 only if all ends so."""
    folder = (out or Path("run") / f"demo-{datetime.datetime.now():%Y%m%d-%H%M%S}").resolve()
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise SiteError(f"{folder} exists already; give --out another folder") from error
    end_in_good_order()
    console = Console(record=True, highlight=False, soft_wrap=True)
    began = time.monotonic()
    results: list[dict[str, object]] = []
    panels: list[Panel] = []
    console.print(
        f"[bold]Tessera[/bold]: a demonstration with simulated people before a simulated camera (seed {seed})"
    )
    with (
        _spinning(console, "starting camera, core, link, broker and backend") as tell,
        Site.make(folder / "site", camera={"seed": seed}) as site,
    ):
        story = _Story(site, console, tell, results, panels)
        console.print(f"  running: terminal [cyan]{site.config.terminal}[/cyan], {site.broker.label}, backend\n")
        good = False
        try:
            customer = person(2 * seed)
            enrolled = story.enrol(customer)
            for scene in scenes(seed):
                story.attempt(scene)
            story.withdraw(enrolled)
            again = Stage(subject=customer)
            story.attempt(Scene("the same customer again", again, (("not_enrolled", "declined/not_enrolled"),)))
            good = all(result["as_it_must"] for result in results)
        finally:
            tell("")
            _write(folder, console, seed, results, panels, time.monotonic() - began, good)
        if keep:
            enrol(site, customer, PAYER)
            site.show(Stage(subject=customer))
            _keep(console, site)
    sys.exit(0 if good else 1)


class _Story:
    """Tells what happens while it happens, and notes how it ended."""

    def __init__(
        self,
        site: Site,
        console: Console,
        tell: Callable[[str], None],
        results: list[dict[str, object]],
        panels: list[Panel],
    ) -> None:
        self.site, self.console, self.tell = site, console, tell
        self.results, self.panels = results, panels

    def enrol(self, subject: Alive) -> str:
        """The customer enrols; returns the person's id."""
        self.console.print(
            "[bold]1. A customer enrols[/bold]: consent put on record, payer mandate got for it, then the face"
        )
        person = enrol(self.site, subject, PAYER, self._watch)
        self.console.print(
            f"  enrolled as {person}: five poses of one person, sealed templates, nobody else's account\n"
        )
        self._note("enrolment", "enrolled", "enrolled", True, {"person": person})
        return person

    def attempt(self, scene: Scene) -> None:
        """Somebody, or something, tries to pay as the customer."""
        self.console.print(
            f"[bold]{len(self.results) + 1}. {AMOUNT} {CURRENCY}, before the camera: {scene.title}[/bold]"
        )
        if scene.assurance == "dynamic":
            self.console.print("  the register asks for assurance dynamic: evidence of motion that nothing rigid gives")
        if scene.assurance == "dynamic" and scene.stage.artefact is None:
            visit = pay_moving(self.site, scene.stage, PAYER, AMOUNT, CURRENCY, self._watch, self._once_more)
        else:
            visit = pay(self.site, scene.stage, PAYER, AMOUNT, CURRENCY, self._watch, scene.assurance)
        good = (visit.reason, visit.register) in scene.ends
        expected = " or ".join(reason for reason, _ in scene.ends)
        mark = "[green]as it must[/green]" if good else f"[red]expected {expected}[/red]"
        self._tell_evidence(visit)
        self.console.print(f"  customer reads: {visit.text.removesuffix(FALLBACK).strip()}")
        if visit.reason != visit.told:
            self.console.print(f"  terminal's own reason: {visit.reason}: {SENTENCES[visit.reason]}")
        self.console.print(f"  register: {visit.register}  {mark}\n")
        self._note(scene.title, expected, visit.reason, good, {"asked_for": scene.assurance, **fingerprint(visit)})
        self.panels.append(Panel(scene.title, self.site.stage, visit.reason, visit.reason == "approved"))

    def withdraw(self, person: str) -> None:
        """The customer withdraws consent and checks the receipt."""
        self.console.print(f"[bold]{len(self.results) + 1}. The customer withdraws consent[/bold]")
        with self.site.control() as core:
            erased = ask(core, Erase(person=person), timeout_s=10)
        receipt = verify_erasure(erased.receipt, self.site.public_key)
        good = receipt.person == person
        self.console.print(f"  erased; the receipt for {receipt.person} carries the terminal's valid signature\n")
        self._note(
            "withdrawal", "erased", "erased" if good else "wrong receipt", good, {"receipt": erased.receipt.hex()}
        )

    def _once_more(self) -> None:
        self.console.print("  no movement was seen, frames come slowly here; the customer tries once more")

    def _watch(self, event: Event) -> None:
        if event.stage == "evidence":
            self.tell(f"{event.why}  {_shown(event.values)}")
        elif event.stage in ("prompt", "authorization"):
            text = event.text.removesuffix(FALLBACK).strip().removesuffix(INSTEAD).strip()
            self.tell(text)
            if event.stage == "authorization" or event.reason in SPOKEN:
                self.console.print(f"  [dim]{text}[/dim]")

    def _tell_evidence(self, visit: Visit) -> None:
        seen = [event for event in visit.events if event.stage == "evidence"]
        values = next((event.values for event in reversed(seen) if event.values), {})
        if seen:
            told = _shown(values) or "no face in any frame"
            self.console.print(f"  evidence from {len(seen)} frames; the last: {told}")

    def _note(self, title: str, expected: str, got: str, good: bool, more: dict[str, object]) -> None:
        self.results.append({"scene": title, "expected": expected, "got": got, "as_it_must": good, **more})


def _shown(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in values.items())


@contextlib.contextmanager
def _spinning(console: Console, first: str) -> Iterator[Callable[[str], None]]:
    """A live line at the bottom; `tell("")` takes it away."""
    spinner = Spinner(first, console=console)
    spinner.start()

    def tell(text: str) -> None:
        if text:
            spinner.update(text)
        else:
            spinner.stop()

    try:
        yield tell
    finally:
        spinner.stop()


def _write(
    folder: Path,
    console: Console,
    seed: int,
    results: list[dict[str, object]],
    panels: list[Panel],
    took_s: float,
    all_good: bool,
) -> None:
    good = sum(bool(result["as_it_must"]) for result in results)
    draw(panels, seed, folder / "contact-sheet.png")
    summary = {
        "evidence": "simulated: virtual people, virtual camera",
        "profile": "rig: precise reasons and values are told here; `customer` is what anybody else is told",
        "seed": seed,
        "seconds": round(took_s, 1),
        "scenes": results,
        "all_as_they_must": all_good,
    }
    (folder / "summary.json").write_bytes(msgspec.json.format(msgspec.json.encode(summary)))
    colour = "green" if all_good else "red"
    console.print(f"[{colour}]{good} of {len(results)} scenes ended as they must[/{colour}], in {took_s:.0f} s")
    console.print(f"transcript, contact sheet and summary: {folder}")
    (folder / "transcript.txt").write_text(console.export_text(clear=False))


def _keep(console: Console, site: Site) -> None:
    options = f"--config {site.config_path}"
    staff = f"{options} --as {STAFF['operator']} --passphrase-file {site.passphrase_file('operator')}"
    (site.folder / "consent.toml").write_bytes(form_of("ada", int(time.time())))
    register = f"--register {site.register_url} --token {site.folder / 'token'}"
    console.print(
        "\nstill running, the customer enrolled again and in front; Ctrl-C ends it. In another terminal:\n"
        f"  tessera doctor {options}\n"
        f"  tessera people list {staff}\n"
        f"  tessera consent {site.folder / 'consent.toml'} --out consent.cose {staff}\n"
        f"  tessera mandate --payer payer-2 --consent consent.cose {register} --out mandate.cose\n"
        f"  tessera enrol --consent consent.cose --mandate mandate.cose {staff}\n"
        f"  tessera pay 3.20 EUR --payer {PAYER} {register}     (--dynamic: the customer is asked to move)\n"
        f"  tessera tap {options}\n"
        f"and change who stands there by editing {site.folder / 'stage.json'}"
    )
    with contextlib.suppress(KeyboardInterrupt, IpcError), site.control(None) as core:
        ask(core, Subscribe(), timeout_s=5)
        while site.terminal is not None and site.terminal.poll() is None:
            message = core.receive(0.5)
            if isinstance(message, Event):
                hear(site, message)
