"""The manifest of networks: what is trusted, and the only way to a network's bytes.

Rules kept here:
- A built file is read once, its size and SHA-256 compared with the manifest, and exactly those bytes are handed out.
- The manifest is decoded strictly: an unknown key or a malformed hash is an error that names file, key and reason.
"""

import hashlib
import hmac
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

BUILT_DIR = Path(__file__).parent / "weights" / "built"
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, Meta(min_length=1, max_length=600)]
FileName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Size = Annotated[int, Meta(ge=1, le=256 * 1024 * 1024)]


class ModelError(Exception):
    """A network is unknown, not built, or not the one the manifest names."""


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A strictly decoded TOML table."""


class Source(_Table, frozen=True):
    """Where the weights come from: a file inside an ordinary package, and whose they are."""

    package: Text
    version: Text
    file: Text
    sha256: Sha256
    licence: Text
    origin: Text


class Quantise(_Table, frozen=True):
    """How the float network becomes int8: its ranges file and how many first convolutions stay float."""

    ranges: Text
    float_convolutions: Annotated[int, Meta(ge=0, le=100)]


class Built(_Table, frozen=True):
    """The artefact that runs."""

    file: FileName
    bytes: Size
    sha256: Sha256
    precision: Text


class Entry(_Table, frozen=True):
    """One network.

    Attributes:
        task: what it is for.
        input: shape, dtype, value range of the input.
        output: of the outputs.
        input_shape: sizes of the input; a name stands for a free one.
        training: what is known of the training set.
        agreement: what building changed, measured.
        quantise: absent where the network runs in float.
    """

    task: Text
    input: Text
    output: Text
    input_shape: list[int | str]
    training: Text
    agreement: Text
    source: Source
    built: Built
    quantise: Quantise | None = None


def decode_manifest(raw: bytes, where: str = "models/manifest.toml") -> dict[str, Entry]:
    """Decode a manifest strictly: networks by name. Raises ModelError naming `where`, key and reason."""
    try:
        return msgspec.toml.decode(raw, type=dict[str, Entry], strict=True)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{where}: {error}") from error


def load_manifest() -> dict[str, Entry]:
    """Return the shipped manifest. Raises ModelError."""
    return decode_manifest((files("models") / "manifest.toml").read_bytes())


def read_network(name: str, models_dir: Path = BUILT_DIR) -> bytes:
    """Return the verified bytes of a built network.

    Raises:
        ModelError: unknown name, not built, or not the bytes the manifest names.
    """
    manifest = load_manifest()
    if name not in manifest:
        raise ModelError(f"no network {name!r}; the manifest has: {', '.join(sorted(manifest))}")
    built = manifest[name].built
    path = models_dir / built.file
    try:
        with path.open("rb") as file:
            model = file.read(built.bytes + 1)
    except OSError as error:
        raise ModelError(f"network {name}: {path}: {error.strerror}; run `python -m models.build`") from error
    verify(model, built, f"network {name}: {path}")
    return model


def verify(model: bytes, built: Built, where: str) -> None:
    """Compare size and hash with the manifest. Raises ModelError."""
    digest = hashlib.sha256(model).hexdigest()
    if len(model) != built.bytes or not hmac.compare_digest(digest, built.sha256):
        raise ModelError(
            f"{where}: is not the network in the manifest (SHA-256 {digest[:16]}..., expected {built.sha256[:16]}...); "
            "delete it and run `python -m models.build`"
        )
