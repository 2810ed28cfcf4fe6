"""A whole session, with everything tapped and everything kept: nothing of her face is in any of it.

The detector is proven twice: on all its forms in `tests/rig/test_leaks.py`, and here on her own template and her own
picture, planted into copies of what the session left.
"""

import base64
import contextlib
import json
import os
import resource
import signal
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from drivers.camera import FrameSet, open_camera
from drivers.secure_element.software import open_secure_element
from firmware.audit.export import records
from firmware.audit.verify import read_checkpoint, verify
from firmware.commands.audit import audit
from firmware.gallery.gallery import Gallery
from firmware.gallery.transform import Transform
from firmware.payment import cose, messages, schema
from firmware.payment.schema import Message
from firmware.runtime.ipc import IpcClosedError
from firmware.runtime.messages import Event
from firmware.vision.align import align
from firmware.vision.detect import Detector as FaceDetector
from firmware.vision.face import Face
from firmware.vision.networks import DETECTOR, template_networks
from firmware.vision.templates import Templates
from hil.rig.customer import enrol, pay
from hil.rig.leaks import Detector, picture_markers, template_markers
from hil.rig.site import PROCESSES, STAFF, Site
from hil.rig.wiretap import broker_tapped, tapped
from hil.sensor.stage import Person, Stage
from models.load import load_network

ADA = Person(90_010)
HER = Stage(subject=ADA)
PAYER = "payer-ada"


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


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> tuple[Evidence, Detector]:
    """Enrolled, paid, refused as a print; then every process killed by a fault of memory, two as they looked at her."""
    left = Evidence(tmp_path_factory.mktemp("site"))
    before = set(_core_files(left.folder))
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        with Site.make(left.folder) as site:
            _session(site, left)
            _, face, crop = _pictures_of_her(site)
            left.other_frame = _pictures_of_her(site)[0].ir[200:280].tobytes()
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    left.core_files = sorted(set(_core_files(left.folder)) - before)
    left.templates, left.turned_by = _opened(site)
    pictures = [*picture_markers("face", face, every=64), *picture_markers("crop", crop, every=56)]
    return left, Detector([*template_markers(left.templates, left.turned_by), *pictures])


def _session(site: Site, left: Evidence) -> None:
    run = Path(site.config.run_dir)
    with contextlib.ExitStack() as taps:
        left.published = taps.enter_context(broker_tapped(site.broker.host, site.broker.port))
        link = taps.enter_context(tapped(run / "link.sock"))
        control = taps.enter_context(tapped(run / "control.sock"))
        os.kill(site.pid("link"), signal.SIGSEGV)
        site.wait_for("the link", lambda: bool(link.answers or link.calls) and all(site.up().values()))
        enrol(site, ADA, PAYER)
        left.outcomes.append(pay(site, HER, PAYER, "12.50").register)
        left.outcomes.append(pay(site, msgspec.structs.replace(HER, artefact="flat_print"), PAYER, "3.00").register)
        left.wires = {
            "core to link": bytes(link.answers), "link to core": bytes(link.calls),
            "core to command line": bytes(control.answers), "command line to core": bytes(control.calls),
        }  # fmt: skip
    core = site.pid("core")

    def fault(event: Event) -> None:
        if event.stage == "evidence" and site.pid("core") == core:
            os.kill(site.pid("camera"), signal.SIGSEGV)
            os.kill(core, signal.SIGSEGV)

    with pytest.raises(IpcClosedError):
        pay(site, HER, PAYER, "4.00", on_event=fault)
    site.wait_for("core", lambda: all(site.up().values()))
    asked = ["--config", str(site.config_path), "--as", STAFF["auditor"]]
    asked += ["--passphrase-file", str(site.passphrase_file("auditor"))]
    for command, out in (("checkpoint", "checkpoint"), ("export", "export")):
        done = CliRunner().invoke(audit, [command, str(site.folder / out), *asked])
        assert done.exit_code == 0, done.output


def _pictures_of_her(site: Site) -> tuple[FrameSet, NDArray[Any], NDArray[Any]]:
    """Of the same person at the same place: a frame, the face in it, and that face as recognition is given it."""
    finder = FaceDetector(load_network(DETECTOR))
    with contextlib.closing(open_camera(site.config.camera.source, dict(site.config.camera.options))) as camera:
        camera.start()
        frames = camera.read(timeout_s=5.0)
        while not isinstance(face := finder.find(frames), Face):
            frames = camera.read(timeout_s=5.0)
    x, y, width, height = (round(v) for v in face.box)
    return frames, frames.ir[y : y + height, x : x + width], align(frames.ir, face.points_px).astype(np.uint8)


def _opened(site: Site) -> tuple[Templates, dict[str, Transform]]:
    """Her template, and the secret rotations, as the terminal itself opens them."""
    seeds: dict[str, bytes] = {}

    def recorded(seed: bytes, purpose: str) -> Transform:
        seeds[purpose] = seed
        return Transform(seed, purpose)

    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as opened:
        patch.setattr("firmware.gallery.people.Transform", recorded)
        element = opened.enter_context(contextlib.closing(open_secure_element(site.config.secure_element.options)))
        store = Path(site.config.state_dir) / "gallery.db"
        gallery = opened.enter_context(contextlib.closing(Gallery(store, element, template_networks())))
        (ada,) = gallery.people()
        templates = ada.templates.copy()
    return templates, {purpose: Transform(seed, purpose) for purpose, seed in seeds.items()}


def _core_files(folder: Path) -> list[Path]:
    return [path for where in (Path.cwd(), folder, folder / "run", folder / "state") for path in where.glob("core*")]


def test_session_was_whole(kept: tuple[Evidence, Detector]) -> None:
    left, _ = kept
    assert left.outcomes == ["approved", "declined/not_confirmed"]
    assert left.turned_by.keys() == {"payment"}
    assert {topic.rpartition("/")[2] for topic, _ in left.published} == {
        "intent",
        "authorization",
        "decline",
        "receipt",
    }
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
    }


@pytest.mark.parametrize("form", ["raw", "base64", "zlib", "float16", "int8", "rotated", "another frame"])
def test_what_is_planted_in_what_she_left_is_found(kept: tuple[Evidence, Detector], form: str) -> None:
    left, detector = kept
    what = planted(left)[form]
    log = (left.folder / "terminal.log").read_bytes()
    assert detector.search(log[:3001] + what + log[3001:9001], "a log with a leak")
    stream = left.wires["core to link"]
    assert detector.search(stream[:1001] + what + stream[1001:], "a wire with a leak")


def test_nothing_of_her_face_is_in_any_file(kept: tuple[Evidence, Detector]) -> None:
    left, detector = kept
    searched = {path.name for path in left.folder.rglob("*") if path.is_file()}
    assert searched >= {"gallery.db", "outbox.db", "terminal.log", "backend.log", "backend.db", "terminal.toml"}
    assert detector.search_folder(left.folder) == []


def test_fault_of_memory_with_her_face_in_hand_leaves_no_core_file(kept: tuple[Evidence, Detector]) -> None:
    left, _ = kept
    log = (left.folder / "terminal.log").read_text()
    assert all(f"{process}: died of SIGSEGV" in log for process in PROCESSES)
    assert left.core_files == []


def test_nothing_of_her_face_passes_on_either_side_of_link(kept: tuple[Evidence, Detector]) -> None:
    left, detector = kept
    for name, passed in left.wires.items():
        assert detector.search(passed, name) == []
    for topic, payload in left.published:
        assert detector.search(payload, topic) == []


def test_only_four_kinds_of_signed_message_pass_the_broker(kept: tuple[Evidence, Detector]) -> None:
    left, _ = kept
    allowed: dict[str, type[Message]] = {
        "intent": messages.Intent, "authorization": messages.Authorization,
        "decline": messages.Decline, "receipt": messages.Receipt,
    }  # fmt: skip
    for topic, payload in left.published:
        kind = allowed[topic.rpartition("/")[2]]
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
    assert decided == [("approved", ""), ("refused", "flat"), ("refused", "interrupted")]
    assert [record["event"] for record in told].count("started") == 2
    assert {"enrolment", "mandate_used", "consent_recorded", "exported", "stopped"} <= {
        record["event"] for record in told
    }
    assert verify(left.folder / "export", keys).good
    stored = b"".join(path.read_bytes() for path in log.iterdir()) + (left.folder / "export" / "log.jsonl").read_bytes()
    assert PAYER.encode() not in stored
