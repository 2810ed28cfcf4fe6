"""The manifest decodes strictly, and only the bytes it names ever become a network."""

import hashlib
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.npu.interface import NetworkError
from firmware.vision.networks import DEPTH_EMBEDDER, DETECTOR, EMBEDDER, IRIS, MESH, load_network, runtime_of
from models import manifest
from models.manifest import CPU, ModelError, decode_manifest, load_manifest, read_network

ROOT = Path(__file__).resolve().parents[2]


def _shipped() -> str:
    return (files("models") / "manifest.toml").read_text()


def test_every_network_names_its_origin_licence_and_training() -> None:
    for name, entry in load_manifest().items():
        assert entry.licence in ("MIT", "Apache-2.0")
        assert entry.source.version if entry.source else entry.made and entry.made.command, name
        assert entry.training


def test_every_network_names_a_card_and_thresholds_that_are_there() -> None:
    for name, entry in load_manifest().items():
        assert (ROOT / "models" / entry.card).read_text().startswith("# "), name
        assert (ROOT / entry.thresholds).exists(), name


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('licence = "MIT"', 'license = "MIT"', "license"),
        ('precision = "float32"', "precision = 32", "precision"),
        ("bytes = 230997", "bytes = 0", "bytes"),
        ('file = "yunet_float.onnx"', 'file = "../../etc/passwd"', "file"),
        ('card = "cards/yunet.md"', 'card = "../NOTICE"', "card"),
        ('layout = "NHWC"', 'layout = "HWC"', "layout"),
        ("[depth_identity.made]", "[depth_identity.source]", "source"),
        ("[yunet.files.onnx]", "[yunet.files.tflite]", "none for onnx"),
        ("[yunet.source]", "[yunet.unknown]", "unknown"),
        ('python = "3.11"', 'python = "3.11 --index-url=x"', "python"),
        ("sha256 = ", "sha256 = 0x", "sha256"),
    ],
)
def test_a_manifest_with_a_mistake_is_refused_with_its_key(old: str, new: str, reason: str) -> None:
    assert old in _shipped()
    with pytest.raises(
        ModelError, match=f"manifest.toml.*{reason}" if "0x" not in new else r"manifest\.toml: Expected newline"
    ):
        decode_manifest(_shipped().replace(old, new, 1).encode())


@given(st.binary(max_size=300))
def test_garbage_is_a_model_error(raw: bytes) -> None:
    try:
        decoded = decode_manifest(raw)
    except ModelError:
        return
    assert decoded == {}


def test_a_missing_network_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"yunet_float\.onnx.*run `python -m models\.build`"):
        load_network(DETECTOR, tmp_path)


def test_an_unknown_network_lists_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r"no network 'resnet'.*depth_identity, iris, liveness, mesh, sface, yunet"):
        read_network("resnet")


@pytest.mark.parametrize("name", [DETECTOR, EMBEDDER, MESH, IRIS])
@pytest.mark.parametrize("attack", ["one bit turned", "cut short", "made longer"])
def test_a_tampered_network_is_refused(name: str, attack: str, tmp_path: Path, models_dir: Path) -> None:
    built = load_manifest()[name].files[CPU]
    raw = bytearray((models_dir / built.file).read_bytes())
    if attack == "one bit turned":
        raw[len(raw) // 2] ^= 1
    elif attack == "cut short":
        del raw[-1]
    else:
        raw.append(0)
    (tmp_path / built.file).write_bytes(raw)
    with pytest.raises(NetworkError, match="is not the network in the manifest"):
        load_network(name, tmp_path)


@pytest.mark.parametrize("runtime", ["onnx", "tflite"])
def test_a_tampered_network_of_our_own_is_refused(
    runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = load_manifest()[DEPTH_EMBEDDER].files[runtime]
    raw = bytearray((manifest.WEIGHTS_DIR / wanted.file).read_bytes())
    raw[-100] ^= 1
    (tmp_path / wanted.file).write_bytes(raw)
    monkeypatch.setattr(manifest, "WEIGHTS_DIR", tmp_path)
    with pytest.raises(NetworkError, match=r"is not the network in the manifest.*restore the file"):
        load_network(DEPTH_EMBEDDER, runtime=runtime)


def test_a_network_without_a_file_for_a_runtime_says_which_it_has() -> None:
    with pytest.raises(ModelError, match="network yunet has no file for tflite; it has: onnx"):
        read_network(DETECTOR, runtime="tflite")
    assert runtime_of(DETECTOR, "tflite") == CPU
    assert runtime_of(DEPTH_EMBEDDER, "tflite") == "tflite"


def test_what_is_read_is_what_was_verified(models_dir: Path) -> None:
    built = load_manifest()[DETECTOR].files[CPU]
    model = read_network(DETECTOR, models_dir)
    assert hashlib.sha256(model).hexdigest() == built.sha256
