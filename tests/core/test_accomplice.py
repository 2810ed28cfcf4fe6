"""A printed head that lets somebody else answer for it, frame by frame through all that a terminal asks. Simulated."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from drivers.camera import Emitter, FrameSet
from firmware.core.asking import Asking
from firmware.core.parts import Parts, open_analyst
from firmware.core.ports import CameraPort
from firmware.core.reasons import PROMPTS
from firmware.core.session import Phase, Session
from firmware.core.stand import Stand
from firmware.core.watch import Watch
from firmware.runtime.config import load_profile
from firmware.runtime.messages import FrameReady
from firmware.runtime.ring import announcement
from firmware.vision.face import Face
from firmware.vision.templates import Templates, make_templates
from hil.rig.customer import obliging
from hil.sensor.stage import Alive, Asked, Stage, read_stage, write_stage
from hil.sensor.virtual_camera import VirtualCamera, VirtualCameraOptions

ADA, BOB = Alive("virtual-94230", obliging()), Alive("virtual-94231", obliging())
HEAD = "printed_head_painted"
JUDGED_NS = 20_000_000


class Terminal:
    """A terminal's look at a stage that the test changes between frames, by a clock of its own."""

    ended_by = None

    def __init__(self, folder: Path, models_dir: Path, clock: pytest.MonkeyPatch) -> None:
        self.now_ns, self.capture, self.said = 0, 0, list[str]()
        self.profile = load_profile("demo")
        self.analyst = open_analyst(self.profile, models_dir)[0]
        self.stage = folder / "stage.json"
        write_stage(self.stage, Stage(ADA))
        options = VirtualCameraOptions(stage=str(self.stage), fps=8.0)
        self.camera = VirtualCamera(options, lambda: self.now_ns, self._wait)
        self.info = self.camera.info
        self.frames: FrameSet | None = None
        for module in ("watch", "asking"):
            clock.setattr(f"firmware.core.{module}.time.monotonic_ns", lambda: self.now_ns)

    def _wait(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)

    async def start(self, levels: Sequence[Emitter]) -> bool:
        self.capture += 1
        self.camera.start(levels)
        return True

    async def stop(self) -> None:
        self.camera.stop()

    def current(self, announced: FrameReady) -> bool:
        return announced.capture == self.capture

    def view(self, _: FrameReady) -> FrameSet | None:
        return self.frames

    def intact(self, _: FrameReady) -> bool:
        return True

    def say(self, _: str, reason: str, text: str, at_ns: int | None = None) -> None:
        self.said.append(reason)
        if at_ns is not None:
            stage = read_stage(self.stage)
            heard = (*stage.prompts, Asked(cast("Any", reason), at_ns))
            write_stage(self.stage, msgspec.structs.replace(stage, prompts=heard))

    def show(self, subject: Alive, artefact: str | None = None) -> None:
        """Exchange who or what stands there; all have heard what was asked."""
        write_stage(self.stage, Stage(subject, artefact, prompts=read_stage(self.stage).prompts))

    def template(self) -> Templates:
        """Of whoever stands there, straight ahead."""
        self.camera.start()
        frames = self.camera.read(1.0)
        self.camera.stop()
        face = self.analyst._detector.find(frames)
        assert isinstance(face, Face)
        embedded = self.analyst._embedder.embed(frames, face)
        return make_templates(dict.fromkeys(("front", "left", "right", "up", "down"), embedded))


async def attacked(terminal: Terminal, template: Templates) -> tuple[Session, Watch]:
    """A head of Ada stands there until something is asked, which Bob then answers in its place."""
    element = SimpleNamespace(random=random.Random(5).randbytes)
    owned = SimpleNamespace(
        analyst=terminal.analyst, basis=terminal.analyst.basis, profile=terminal.profile, element=element
    )
    watch = Watch(cast("CameraPort", terminal), cast("Parts", owned), template, "dynamic")
    asking = Asking(cast("Stand", SimpleNamespace(say=terminal.say)), watch.dynamic)
    assert await watch.begin() == ""
    session = Session.begin(terminal.profile, terminal.now_ns).tapped(terminal.now_ns, watch.look_s)
    while session.phase is Phase.LOOK:
        frames = terminal.frames = terminal.camera.read(1.0)
        terminal.now_ns += JUDGED_NS
        finding = await watch.look(announcement(frames, 0, terminal.capture))
        assert finding is not None
        session = session.looked(finding.reason, terminal.now_ns)
        asking.after(finding.reason)
        if watch.dynamic is not None and watch.dynamic.prompt is not None:
            terminal.show(BOB)
    return session, watch


def test_printed_head_whose_prompt_a_living_accomplice_answers(
    tmp_path: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then everything held, identity too; he is not her, and what he does is none of hers."""
    terminal = Terminal(tmp_path, models_dir, monkeypatch)
    with closing(terminal.camera):
        template = terminal.template()
        terminal.show(ADA, HEAD)
        session, watch = asyncio.run(attacked(terminal, template))
    assert terminal.said[0] in PROMPTS
    assert session.good == 0
    assert (session.outcome, session.reason) == ("refused", "not_recognised")
    assert watch.dynamic is not None
    assert not watch.dynamic.passed
