"""The manifest of networks, the bill of materials: what is trusted, and the only way to a network's bytes.

Rules kept here:
- A file is read once, its size and SHA-256 compared with the manifest, and exactly those bytes are handed out.
- The manifest is decoded strictly: an unknown key or a malformed hash is an error that names file, key and reason.
- A network either comes out of an ordinary package and is built at set-up, or was trained here and is committed.
"""

import hashlib
import hmac
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

WEIGHTS_DIR = Path(__file__).parent / "weights"
BUILT_DIR = WEIGHTS_DIR / "built"
CPU = "onnx"
"""The runtime that every network has a file for."""
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, Meta(min_length=1, max_length=600)]
FileName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Place = Annotated[str, Meta(pattern=r"^[a-z][a-z_]*(/[A-Za-z0-9_-]+)*(\.[a-z]+)?$", max_length=100)]
Size = Annotated[int, Meta(ge=1, le=256 * 1024 * 1024)]
Count = Annotated[int, Meta(ge=1, le=10**12)]
Runtime = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
"""Name of a plug-in of the group `tessera.npu`."""


class ModelError(Exception):
    """A network is unknown, not built, or not the one the manifest names."""


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A strictly decoded TOML table."""


class Wheel(_Table, frozen=True):
    """The one wheel that a file is taken out of, the same on every machine: nothing of it is installed or run.

    Attributes:
        python, platform: that it is for, as pip names them.
        sha256: of the whole wheel.
    """

    python: Annotated[str, Meta(pattern=r"^3\.[0-9]{1,2}$")]
    platform: Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,40}$")]
    sha256: Sha256


class Source(_Table, frozen=True):
    """Where foreign weights come from: a file inside an ordinary package, and whose they are.

    `wheel`: absent where the package is installed; else only `file` is taken out of it.
    """

    package: Text
    version: Text
    file: Text
    sha256: Sha256
    licence: Text
    origin: Text
    wheel: Wheel | None = None


class Made(_Table, frozen=True):
    """How weights of our own came to be.

    Attributes:
        command: what trains and exports them.
        data: what they were trained on, and its licence.
        licence: of the weights.
        checkpoint: SHA-256 of the trained parameters, in the order of their names.
    """

    command: Text
    data: Text
    licence: Text
    checkpoint: Sha256


class Quantise(_Table, frozen=True):
    """How the float network becomes int8: its ranges file and how many first convolutions stay float."""

    ranges: Text
    float_convolutions: Annotated[int, Meta(ge=0, le=100)]


class File(_Table, frozen=True):
    """An artefact. `layout` is that of the file's own tensors; outside every network is NCHW."""

    file: FileName
    bytes: Size
    sha256: Sha256
    precision: Literal["float32", "int8"]
    layout: Literal["NCHW", "NHWC"] = "NCHW"


class Entry(_Table, frozen=True):
    """One network.

    Attributes:
        task: what it is for.
        input: shape, dtype, value range of the input.
        output: of the outputs.
        polarity: what a larger number means.
        thresholds: where the numbers are that decide on its output.
        card: its model card, within `models`.
        input_shape: sizes of the input; a name stands for a free one.
        macs: multiplications and additions of one run, at `macs_shape` where sizes are free.
        macs_shape: sizes that `macs` was counted at.
        training: what is known of the training set.
        agreement: what building or quantising changed, measured.
        files: the artefact of each runtime.
        source: where foreign weights come from; they are built at set-up.
        made: how weights of our own were made; they are committed.
        parent: the float network that int8 files were made of, where it is committed.
        quantise: absent where building quantises nothing.
    """

    task: Text
    input: Text
    output: Text
    polarity: Text
    thresholds: Place
    card: Place
    input_shape: list[int | str]
    macs: Count
    macs_shape: list[int]
    training: Text
    agreement: Text
    files: dict[Runtime, File]
    source: Source | None = None
    made: Made | None = None
    parent: File | None = None
    quantise: Quantise | None = None

    def __post_init__(self) -> None:
        if (self.source is None) == (self.made is None):
            raise ValueError("a network has either `source` or `made`")
        if CPU not in self.files:
            raise ValueError(f"files: none for {CPU}")

    @property
    def licence(self) -> str:
        """Of the weights."""
        return self.source.licence if self.source else self.made.licence if self.made else ""

    @property
    def weights(self) -> str:
        """SHA-256 of the trained weights themselves, the same for every file and precision made of them."""
        return self.source.sha256 if self.source else self.made.checkpoint if self.made else ""

    def folder(self, models_dir: Path) -> Path:
        """Where its files lie: built ones in `models_dir`, committed ones beside this manifest."""
        return models_dir if self.source else WEIGHTS_DIR


def decode_manifest(raw: bytes, where: str = "models/manifest.toml") -> dict[str, Entry]:
    """Decode a manifest strictly: networks by name. Raises ModelError naming `where`, key and reason."""
    try:
        return msgspec.toml.decode(raw, type=dict[str, Entry], strict=True)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{where}: {error}") from error


def load_manifest() -> dict[str, Entry]:
    """Return the shipped manifest. Raises ModelError."""
    return decode_manifest((files("models") / "manifest.toml").read_bytes())


def find(name: str) -> Entry:
    """Return a network of the shipped manifest. Raises ModelError where there is none of that name."""
    manifest = load_manifest()
    if name not in manifest:
        raise ModelError(f"no network {name!r}; the manifest has: {', '.join(sorted(manifest))}")
    return manifest[name]


def read_network(name: str, models_dir: Path = BUILT_DIR, runtime: Runtime = CPU) -> bytes:
    """Return the verified bytes of a network's file for a runtime.

    Raises:
        ModelError: unknown name, no file for `runtime`, not built, or not the bytes the manifest names.
    """
    entry = find(name)
    if runtime not in entry.files:
        raise ModelError(f"network {name} has no file for {runtime}; it has: {', '.join(sorted(entry.files))}")
    return read_file(entry, entry.files[runtime], f"network {name}", models_dir)


def read_file(entry: Entry, wanted: File, where: str, models_dir: Path = BUILT_DIR) -> bytes:
    """Return the verified bytes of one of `entry`'s files. Raises ModelError naming `where`."""
    path = entry.folder(models_dir) / wanted.file
    try:
        with path.open("rb") as file:
            model = file.read(wanted.bytes + 1)
    except OSError as error:
        raise ModelError(f"{where}: {path}: {error.strerror}; {_remedy(entry)}") from error
    verify(model, wanted, f"{where}: {path}", _remedy(entry))
    return model


def _remedy(entry: Entry) -> str:
    return "run `python -m models.build`" if entry.source else "restore the file that this version came with"


def verify(model: bytes, wanted: File, where: str, remedy: str) -> None:
    """Compare size and hash with the manifest. Raises ModelError."""
    digest = hashlib.sha256(model).hexdigest()
    if len(model) != wanted.bytes or not hmac.compare_digest(digest, wanted.sha256):
        raise ModelError(
            f"{where}: is not the network in the manifest "
            f"(SHA-256 {digest[:16]}..., expected {wanted.sha256[:16]}...); {remedy}"
        )
