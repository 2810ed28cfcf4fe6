"""The manifest decodes strictly, and only the bytes it names ever become a network."""

import hashlib
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.npu.interface import NetworkError
from firmware.vision.networks import DETECTOR, EMBEDDER, load_network
from models.manifest import ModelError, decode_manifest, load_manifest, read_network


def _shipped() -> str:
    return (files("models") / "manifest.toml").read_text()


def test_every_network_names_its_origin_licence_and_training() -> None:
    for entry in load_manifest().values():
        assert entry.source.licence in ("MIT", "Apache-2.0")
        assert entry.source.version
        assert entry.training


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('licence = "MIT"', 'license = "MIT"', "license"),
        ('precision = "float32"', "precision = 32", "precision"),
        ("bytes = 230997", "bytes = 0", "bytes"),
        ('file = "yunet_float.onnx"', 'file = "../../etc/passwd"', "file"),
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
    with pytest.raises(ModelError, match=r"no network 'resnet'.*sface, yunet"):
        read_network("resnet")


@pytest.mark.parametrize("name", [DETECTOR, EMBEDDER])
@pytest.mark.parametrize("attack", ["one bit turned", "cut short", "made longer"])
def test_a_tampered_network_is_refused(name: str, attack: str, tmp_path: Path, models_dir: Path) -> None:
    built = load_manifest()[name].built
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


def test_what_is_read_is_what_was_verified(models_dir: Path) -> None:
    built = load_manifest()[DETECTOR].built
    model = read_network(DETECTOR, models_dir)
    assert hashlib.sha256(model).hexdigest() == built.sha256
