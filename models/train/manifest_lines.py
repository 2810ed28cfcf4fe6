"""Writing measured values into `models/manifest.toml` without touching what people wrote around them."""

import json
import os
from pathlib import Path

from models.manifest import ModelError, decode_manifest

MANIFEST = Path(__file__).parents[1] / "manifest.toml"


def rewritten(text: str, sections: dict[str, dict[str, str | int]]) -> str:
    """Return TOML `text` with the keys of the tables in `sections` set anew; each must be there already.

    Raises:
        ModelError: a table or key is not there.
    """
    lines = text.splitlines()
    missing = {(table, key) for table, values in sections.items() for key in values}
    table = ""
    for index, line in enumerate(lines):
        if line.startswith("["):
            table = line.strip().strip("[]")
        key = line.partition(" = ")[0]
        if (table, key) in missing:
            lines[index] = f"{key} = {json.dumps(sections[table][key], ensure_ascii=False)}"
            missing.discard((table, key))
    if missing:
        raise ModelError(f"manifest: has no {', '.join(f'{table}.{key}' for table, key in sorted(missing))}")
    return "\n".join(lines) + "\n"


def rewrite(sections: dict[str, dict[str, str | int]]) -> None:
    """Set values in the manifest, whole or not at all. Raises ModelError where it would no longer decode."""
    text = rewritten(MANIFEST.read_text(), sections)
    decode_manifest(text.encode())
    partial = MANIFEST.with_suffix(".partial")
    partial.write_text(text)
    os.replace(partial, MANIFEST)
