"""The test vectors, judged by others: envelopes by `cwt`, what they hold by `pycddl` against the CDDL itself.

Run by `make oracle` in an environment of its own (tools/oracle-env); it imports nothing of ours.
The CDDL is read whole by `cddlparser`. `pycddl` 0.6.4 does not take it as it stands: a generic under `.cbor` ends its
process, it searches where `.regexp` means a match, knows no choice of texts inside an array, and lets text pass
for bytes. So it is given the messages without envelope, with anchors, choices as patterns, and its last fault is
counted.

Rules kept here:
- A good vector verifies, holds the payload it says, and fits the CDDL.
- A bad one of code `schema` verifies and does not fit; one of `bad_signature` or `unknown_key` does not verify, except
  the mirrored signature, which ECDSA takes and our rule does not.
- What is `malformed` or `non_canonical` is stricter than COSE and is counted, not judged.
"""

import json
import re
import sys
from collections import Counter
from pathlib import Path

import cbor2
import cddlparser  # type: ignore[import-not-found]
from cwt import COSE, COSEKey, CWTError  # type: ignore[import-not-found]
from pycddl import Schema, ValidationError  # type: ignore[import-not-found]

Opened = tuple[dict[int, object], dict[int, object], bytes]

DOCS = Path(__file__).parents[2] / "docs"
CDDL = (DOCS / "protocol.cddl").read_text()


def main() -> int:
    """Print what was judged; 1 where a vector is not as it says."""
    vectors = json.loads((DOCS / "protocol-vectors.json").read_text())
    keys = [
        COSEKey.new(
            {1: 2, 2: bytes.fromhex(key["kid"]), 3: -7, -1: 1, -2: bytes.fromhex(key["x"]), -3: bytes.fromhex(key["y"])}
        )
        for key in vectors["keys"].values()
    ]
    names = {vector["message"] for vector in vectors["good"]}
    cddlparser.parse(CDDL)
    schemas = {name: Schema(plain_cddl(name)) for name in names}
    judged: Counter[str] = Counter()
    wrong = []
    typs = dict(re.findall(r'^([a-z-]+)-envelope = envelope<"([^"]+)",', CDDL, re.MULTILINE))
    for vector in vectors["good"]:
        name, judged_by = vector["message"], vectors["keys"][vector["signer"]]
        header = {1: -7, 4: bytes.fromhex(judged_by["kid"]), 16: typs[name]}
        payload = bytes.fromhex(vector["payload"])
        judged["good"] += 1
        if opened(bytes.fromhex(vector["envelope"]), keys) != (header, {}, payload) or not fits(schemas[name], payload):
            wrong.append(vector["name"])
    plain = {v["message"]: cbor2.loads(bytes.fromhex(v["payload"])) for v in vectors["good"] if "plain" in v["name"]}
    for vector in vectors["bad"]:
        found = opened(bytes.fromhex(vector["envelope"]), keys)
        judged[vector["code"]] += 1
        if vector["code"] == "schema":
            as_said = found is not None and not fits(schemas[vector["message"]], found[2])
            if found is not None and not as_said and text_for_bytes(plain[vector["message"]], cbor2.loads(found[2])):
                judged["schema, text for bytes, which pycddl takes"] += 1
                continue
        elif vector["code"] in ("bad_signature", "unknown_key"):
            as_said = (found is not None) == ("mirrored" in vector["name"])
        else:
            continue
        if not as_said:
            wrong.append(vector["name"])
    print(f"cwt and pycddl: {dict(judged)}; not as they say: {wrong}")  # noqa: T201
    return bool(wrong)


def plain_cddl(name: str) -> str:
    """The CDDL of one message, in the words of `pycddl`."""
    anchored = re.sub(r'\.regexp "(.*)"', r'.regexp "^(\1)$"', CDDL[CDDL.index("intent = {") :])
    choice = re.compile(r'^([a-z-]+) = ("[a-z]+"(?: / "[a-z]+")+)$', re.MULTILINE)
    as_pattern = choice.sub(
        lambda it: f'{it[1]} = tstr .regexp "^({it[2].replace(chr(34), "").replace(" / ", "|")})$"', anchored
    )
    return f"start = {name}\n{as_pattern}"


def opened(raw: bytes, keys: list[object]) -> Opened | None:
    """Protected header, unprotected header and payload, where the signature holds."""
    try:
        protected, unprotected, payload = COSE.new().decode_with_headers(raw, keys)
    except (CWTError, ValueError):
        return None
    return protected, unprotected, bytes(payload)


def text_for_bytes(plain: object, found: object) -> bool:
    """Whether anywhere text stands where the plain message has bytes."""
    if isinstance(plain, dict) and isinstance(found, dict):
        return any(text_for_bytes(value, found.get(key)) for key, value in plain.items())
    return isinstance(plain, bytes) and isinstance(found, str)


def fits(schema: Schema, payload: bytes) -> bool:
    """Whether the payload is what the CDDL says."""
    try:
        schema.validate_cbor(payload)
    except ValidationError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
