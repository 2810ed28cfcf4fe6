"""A whole session, with everything tapped and everything kept: nothing of her face is in any of it, nor of anybody
else's who stood there and was not recognised.

The detector is proven twice: on all its forms in `tests/rig/test_leaks.py`, and here on her own template and her own
picture, planted into copies of what the session left.
"""

import base64
import contextlib
import json
import os
import resource
import shutil
import signal
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from drivers.camera import FrameSet, open_camera
from drivers.secure_element.software import open_secure_element
from firmware.audit.export import records
from firmware.audit.verify import read_checkpoint, verify
from firmware.commands.audit import audit
from firmware.core.client import ask
from firmware.gallery.gallery import Gallery
from firmware.gallery.transform import Transform
from firmware.payment import cose, messages, schema
from firmware.payment.schema import Message
from firmware.runtime.ipc import IpcClosedError
from firmware.runtime.messages import Erase, Event, Export
from firmware.vision.align import align
from firmware.vision.detect import Detector as FaceDetector
from firmware.vision.embed import DepthEmbedder, Embedder, FaceEmbedder
from firmware.vision.face import Face
from firmware.vision.networks import DEPTH_EMBEDDER, DETECTOR, EMBEDDER, template_networks
from firmware.vision.templates import Templates, make_templates
from hil.rig.customer import choose_pin, enrol, papers_for, pay
from hil.rig.leaks import Detector, Marker, picture_markers, template_markers
from hil.rig.site import PROCESSES, STAFF, Site
from hil.rig.wiretap import broker_tapped, tapped
from hil.sensor.stage import Person, Stage
from models.load import load_network

ADA, OTHER = Person(90_010), Person(90_001)
HER = Stage(subject=ADA)
PAYER = "payer-ada"
PIN = "907133846512"
MAY_PASS: dict[str, type[Message]] = {
    "intent": messages.Intent, "authorization": messages.Authorization, "decline": messages.Decline,
    "receipt": messages.Receipt, "beacon-request": messages.BeaconRequest, "beacon": messages.Beacon,
    "key-set": messages.KeySet, "status": messages.Status,
}  # fmt: skip


@dataclass
class Evidence:
    """What the session left, and what to look for in it."""

    folder: Path
    outcomes: list[str] = field(default_factory=list)
    wires: dict[str, bytes] = field(default_factory=dict)
    published: list[tuple[str, bytes]] = field(default_factory=list)
    core_files: list[Path] = field(default_factory=list)
    templates: Templates = field(default_factory=lambda: np.empty(0, np.float32))
    turned_by: dict[str, Transform] = field(default_factory=dict)
    other_frame: bytes = b""
    frame_of_other: bytes = b""


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> tuple[Evidence, Detector]:
    """Enrolled, paid; somebody else refused; every process killed by a fault, two as they looked at her; erased."""
    left = Evidence(tmp_path_factory.mktemp("site"))
    before = set(_core_files(left.folder))
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        with Site.make(left.folder) as site:
            person = _session(site, left)
            left.templates, left.turned_by = _opened(site, tmp_path_factory.mktemp("copy"))
            with site.control() as core:
                ask(core, Erase(person=person), timeout_s=10)
            _, of_other = _seen(site, OTHER)
            left.frame_of_other = _seen(site, OTHER)[0].ir[220:260].tobytes()
            _, of_her = _seen(site, ADA)
            left.other_frame = _seen(site, ADA)[0].ir[220:260].tobytes()
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    left.core_files = sorted(set(_core_files(left.folder)) - before)
    return left, Detector([*template_markers(left.templates, left.turned_by), *of_her, *of_other])


def _session(site: Site, left: Evidence) -> str:
    """Returns her id."""
    run = Path(site.config.run_dir)
    with contextlib.ExitStack() as taps:
        left.published = taps.enter_context(broker_tapped(site.broker.host, site.broker.port))
        link = taps.enter_context(tapped(run / "link.sock"))
        control = taps.enter_context(tapped(run / "control.sock"))
        os.kill(site.pid("link"), signal.SIGSEGV)
        site.wait_for("the link", lambda: bool(link.answers or link.calls) and all(site.up().values()))
        papers = papers_for(site, PAYER)
        person = enrol(site, ADA, PAYER, papers=papers)
        choose_pin(site, person, site.mandate(PAYER, papers[0], "pin"), PIN)
        left.outcomes.append(pay(site, HER, PAYER, "12.50").register)
        left.outcomes.append(pay(site, Stage(subject=OTHER), PAYER, "3.00").register)
        with site.control() as core:
            ask(core, Export(person=person), timeout_s=10)
        left.wires = {
            "core to link": bytes(link.answers), "link to core": bytes(link.calls),
            "core to command line": bytes(control.answers), "command line to core": bytes(control.calls),
        }  # fmt: skip
    pid = site.pid("core")

    def fault(event: Event) -> None:
        if event.stage == "evidence" and site.pid("core") == pid:
            os.kill(site.pid("camera"), signal.SIGSEGV)
            os.kill(pid, signal.SIGSEGV)

    with pytest.raises(IpcClosedError):
        pay(site, HER, PAYER, "4.00", on_event=fault)
    site.wait_for("core", lambda: all(site.up().values()))
    asked = ["--config", str(site.config_path), "--as", STAFF["auditor"]]
    asked += ["--passphrase-file", str(site.passphrase_file("auditor"))]
    for command, out in (("checkpoint", "checkpoint"), ("export", "export")):
        done = CliRunner().invoke(audit, [command, str(site.folder / out), *asked])
        assert done.exit_code == 0, done.output
    return person


def _seen(site: Site, subject: Person) -> tuple[FrameSet, list[Marker]]:
    """By the same camera, at the same place: a frame, and markers of the face in it and of what is made of it."""
    site.show(Stage(subject=subject))
    finder = FaceDetector(load_network(DETECTOR))
    with contextlib.closing(open_camera(site.config.camera.source, dict(site.config.camera.options))) as camera:
        camera.start()
        frames = camera.read(timeout_s=5.0)
        while not isinstance(face := finder.find(frames), Face):
            frames = camera.read(timeout_s=5.0)
    x, y, width, height = (round(v) for v in face.box)
    crop = align(frames.ir, face.points_px).astype(np.uint8)
    embedder = FaceEmbedder(Embedder(load_network(EMBEDDER)), DepthEmbedder(load_network(DEPTH_EMBEDDER)))
    name = f"person {subject.seed}"
    return frames, [
        *picture_markers(f"{name} face", frames.ir[y : y + height, x : x + width], every=64),
        *picture_markers(f"{name} crop", crop, every=56),
        *template_markers(make_templates({"front": embedder.embed(frames, face)}), {}),
    ]


def _opened(site: Site, folder: Path) -> tuple[Templates, dict[str, Transform]]:
    """Her template, and the secret rotations, as the terminal itself opens them; from a copy of its gallery."""
    for path in Path(site.config.state_dir).glob("gallery.db*"):
        shutil.copy(path, folder)
    seeds: dict[str, bytes] = {}

    def recorded(seed: bytes, purpose: str) -> Transform:
        seeds[purpose] = seed
        return Transform(seed, purpose)

    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as opened:
        patch.setattr("firmware.gallery.people.Transform", recorded)
        element = opened.enter_context(contextlib.closing(open_secure_element(site.config.secure_element.options)))
        store = Gallery(folder / "gallery.db", element, template_networks())
        gallery = opened.enter_context(contextlib.closing(store))
        (ada,) = gallery.people()
        templates = ada.templates.copy()
    return templates, {purpose: Transform(seed, purpose) for purpose, seed in seeds.items()}


def _core_files(folder: Path) -> list[Path]:
    return [path for where in (Path.cwd(), folder, folder / "run", folder / "state") for path in where.glob("core*")]


def test_session_was_whole(kept: tuple[Evidence, Detector]) -> None:
    left, _ = kept
    assert left.outcomes == ["approved", "declined/not_confirmed"]
    assert left.turned_by.keys() == {"payment"}
    assert {topic.rpartition("/")[2] for topic, _ in left.published} == MAY_PASS.keys()
    assert all(len(passed) > 500 for passed in left.wires.values()), "the taps heard both sides of both"


def planted(left: Evidence) -> dict[str, bytes]:
    """What would be a leak of hers, in every form."""
    turned = np.empty_like(left.templates)
    left.turned_by["payment"].turn(left.templates, turned)
    raw = left.templates.tobytes()
    return {
        "raw": raw,
        "base64": base64.b64encode(raw),
        "zlib": zlib.compress(raw),
        "float16": left.templates.astype(np.float16).tobytes(),
        "int8": np.round(left.templates * 300).clip(-127, 127).astype(np.int8).tobytes(),
        "rotated": turned.tobytes(),
        "another frame": left.other_frame,
        "a frame of who was not recognised": left.frame_of_other,
    }


FORMS = ("raw", "base64", "zlib", "float16", "int8", "rotated", "another frame", "a frame of who was not recognised")


@pytest.mark.parametrize("form", FORMS)
def test_what_is_planted_in_what_she_left_is_found(kept: tuple[Evidence, Detector], form: str) -> None:
    left, detector = kept
    what = planted(left)[form]
    log = (left.folder / "terminal.log").read_bytes()
    assert detector.search(log[:3001] + what + log[3001:9001], "a log with a leak")
    stream = left.wires["core to link"]
    assert detector.search(stream[:1001] + what + stream[1001:], "a wire with a leak")


def test_nothing_of_either_face_is_in_any_file(kept: tuple[Evidence, Detector]) -> None:
    left, detector = kept
    searched = {path.name for path in left.folder.rglob("*") if path.is_file()}
    assert searched >= {"gallery.db", "outbox.db", "terminal.log", "backend.log", "backend.db", "terminal.toml"}
    assert detector.search_folder(left.folder) == []


def test_fault_of_memory_with_her_face_in_hand_leaves_no_core_file(kept: tuple[Evidence, Detector]) -> None:
    left, _ = kept
    log = (left.folder / "terminal.log").read_text()
    assert all(f"{process}: died of SIGSEGV" in log for process in PROCESSES)
    assert left.core_files == []


def test_the_pin_she_chose_passed_where_she_typed_it_and_is_nowhere_else(kept: tuple[Evidence, Detector]) -> None:
    left, _ = kept
    typed_at = "command line to core"
    forms = (PIN.encode(), PIN.encode().hex().encode(), int(PIN).to_bytes(8, "big"), bytes(map(int, PIN)))
    assert left.wires[typed_at].count(forms[0]) == 2, "once to choose it, and once more"
    elsewhere = {name: passed for name, passed in left.wires.items() if name != typed_at}
    elsewhere |= {f"{number} {topic}": payload for number, (topic, payload) in enumerate(left.published)}
    elsewhere |= {str(path): path.read_bytes() for path in left.folder.rglob("*") if path.is_file()}
    assert [name for name, kept_there in elsewhere.items() if any(form in kept_there for form in forms)] == []


def test_nothing_of_either_face_passes_on_either_side_of_link(kept: tuple[Evidence, Detector]) -> None:
    left, detector = kept
    for name, passed in left.wires.items():
        assert detector.search(passed, name) == []
    for topic, payload in left.published:
        assert detector.search(payload, topic) == []


def test_only_signed_messages_each_of_the_kind_of_its_topic_pass_the_broker(kept: tuple[Evidence, Detector]) -> None:
    left, _ = kept
    for topic, payload in left.published:
        kind = MAY_PASS[topic.rpartition("/")[2]]
        assert cose.peek_type(payload) == kind.TYP
        assert isinstance(schema.decode(cose.peek(payload), kind), kind)


def test_audit_log_of_the_session_is_whole_and_tells_it_without_a_name(kept: tuple[Evidence, Detector]) -> None:
    """Also after `core` was killed by a fault: what it had recorded is there, and signed on."""
    left, _ = kept
    log = left.folder / "state" / "audit"
    keys = [bytes.fromhex(key) for key in json.loads((left.folder / "state" / "identities.json").read_text())]
    known = read_checkpoint((left.folder / "checkpoint").read_bytes(), keys)
    report = verify(log, keys, known)
    assert (report.good, report.terminal, report.signed) == (True, "till-1", report.last)
    told = list(records(log))
    decided = [(record["outcome"], record["reason"]) for record in told if record.get("purpose") == "payment"]
    assert decided == [("approved", ""), ("refused", "not_recognised"), ("refused", "interrupted")]
    assert [record["event"] for record in told].count("started") == 2
    assert {"enrolment", "mandate_used", "consent_recorded", "exported", "erasure", "stopped"} <= {
        record["event"] for record in told
    }
    assert verify(left.folder / "export", keys).good
    stored = b"".join(path.read_bytes() for path in log.iterdir()) + (left.folder / "export" / "log.jsonl").read_bytes()
    assert PAYER.encode() not in stored
