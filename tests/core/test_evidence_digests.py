"""What an authorization binds as its evidence changes with everything that a recognition rests on."""

import hashlib
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from firmware.core import parts
from firmware.core.parts import open_analyst
from firmware.liveness import look
from firmware.liveness.look import load_basis
from firmware.liveness.policy import POLICIES
from firmware.runtime.config import Profile, load_profile
from firmware.vision.calibration import Calibration, load_calibration
from firmware.vision.policy import load_policy
from hil.evaluate.fit import to_toml
from models import manifest

RIG = load_profile("rig")
LOADERS = ("load_limits", "load_policy", "load_cues")


def digest(profile: Profile, models_dir: Path, site: Path | None = None) -> bytes:
    return open_analyst(profile, models_dir, site)[2]


def test_the_same_terminal_has_the_same_digest(models_dir: Path) -> None:
    assert digest(RIG, models_dir) == digest(RIG, models_dir)


def test_another_population_is_another_digest(models_dir: Path) -> None:
    assert digest(RIG, models_dir) != digest(msgspec.structs.replace(RIG, population="real"), models_dir)


def test_another_policy_is_another_digest(models_dir: Path) -> None:
    """Both policies stand in one file: it is the one that decides that counts."""
    assert load_policy("payment")[1] != load_policy("door")[1]
    assert digest(RIG, models_dir) != digest(msgspec.structs.replace(RIG, policy="door"), models_dir)


def test_a_site_calibration_is_another_digest(models_dir: Path, tmp_path: Path) -> None:
    real = msgspec.structs.replace(RIG, population="real")
    (tmp_path / "site.toml").write_text(to_toml(_measured_here(load_calibration("real")), "a test"))
    assert digest(real, models_dir) != digest(real, models_dir, tmp_path / "site.toml")


def _measured_here(found: Calibration) -> Calibration:
    replace = msgspec.structs.replace
    return replace(
        found,
        ir=replace(found.ir, kind="site"),
        depth=replace(found.depth, kind="site"),
        thresholds=tuple(replace(one, kind="site") for one in found.thresholds),
    )


def test_another_liveness_policy_is_another_digest(models_dir: Path) -> None:
    found = {digest(msgspec.structs.replace(RIG, liveness=name), models_dir) for name in POLICIES}
    assert len(found) == len(POLICIES)


def test_other_limits_another_policy_or_other_cues_are_another_basis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file counts, and of the policies the one that decides."""
    shipped = load_basis("demo").digest
    assert load_basis("demo").digest == shipped
    for name in LOADERS:
        with monkeypatch.context() as patched:
            value, of_file = getattr(look, name)("demo") if name == "load_policy" else getattr(look, name)()
            changed = (value, hashlib.sha256(of_file).digest())
            patched.setattr(look, name, lambda *_, changed=changed: changed)
            assert load_basis("demo").digest != shipped, name


def test_the_basis_of_liveness_is_bound_into_what_an_authorization_says(
    models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digest(RIG, models_dir)
    basis = load_basis("demo")
    other = replace(basis, digest=hashlib.sha256(basis.digest).digest())
    monkeypatch.setattr(parts, "load_basis", lambda *_: other)
    assert digest(RIG, models_dir) != before


@pytest.mark.parametrize("name", ["yunet", "sface", "depth_identity", "liveness"])
def test_every_network_that_may_run_stands_in_the_manifest_whose_digest_is_bound(name: str) -> None:
    """Bytes that the manifest does not name do not run, so another network is another manifest."""
    text = (Path(manifest.__file__).parent / "manifest.toml").read_text()
    for file in manifest.find(name).files.values():
        assert text.count(file.sha256) == 1
