"""Every decoder of hostile bytes: what it is fed, and what must hold of whatever it says.

`feed` returns how it ended, a code or `read`; any exception that gets out of it is a crash.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hil.backend.shop import Shop
from tests.fuzz.ipc_bytes import bend_msgpack, framed, messages_of, read_stream, unions
from tests.fuzz.mutate import Bend, bend_cbor
from tests.fuzz.payment_bytes import GOOD, PAYLOADS, Acceptance, judge, read_cbor, read_envelope, reader
from tests.fuzz.told_bytes import Believer, Desk
from tests.fuzz.typed_bytes import BODIES, FORM, PATHS, Api, bend_json, read_amount, read_form
from tests.payment.cddl import KINDS

CORPUS = Path(__file__).parents[1] / "corpus"


@dataclass(frozen=True)
class Decoder:
    """What is fuzzed.

    Attributes:
        share: of all inputs, in per cent.
        samples: good inputs, which `bend` can read.
        kept: those that crashed it once, from `tests/corpus/<name>`.
    """

    name: str
    share: float
    samples: Sequence[bytes]
    feed: Callable[[bytes], str]
    bend: Bend | None = None

    @property
    def kept(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted((CORPUS / self.name).glob("*"))]


def decoders(shop: Shop) -> list[Decoder]:
    """All of them; `shop` has the keys and the database some of them want."""
    accept, honest = Acceptance(shop), shop.authorized()
    api = Api(shop, accept.paid)
    believer, desk = Believer(shop.folder / "believer"), Desk(shop, shop.folder / "desk")
    return [
        Decoder("cbor", 20, list(PAYLOADS.values()), read_cbor, bend_cbor),
        Decoder("cose", 10, sorted(GOOD), read_envelope),
        *(Decoder(f"schema-{name}", 2.5, [PAYLOADS[name]], reader(kind), bend_cbor) for name, kind in KINDS.items()),
        *(Decoder(f"ipc-{name}", 3, samples, messages_of(union), bend_msgpack) for name, union, samples in unions()),
        Decoder("ipc-stream", 2, [framed(sample) for _, _, samples in unions() for sample in samples], read_stream),
        Decoder("consent-form", 1, [FORM], read_form),
        Decoder("amount", 1, [b"12.50", b"1250", b"0.001"], read_amount),
        Decoder("intent-signed", 1, [accept.payload], accept.feed, bend_cbor),
        Decoder("receipt-signed", 1, [accept.receipt], accept.settle, bend_cbor),
        Decoder("key-set-signed", 1, [believer.key_set], believer.take_keys, bend_cbor),
        Decoder("beacon-signed", 1, [believer.beacon], believer.take_time, bend_cbor),
        Decoder("cancellation-signed", 1, [believer.cancellation], believer.take_back, bend_cbor),
        Decoder("terminal-signed", 1, desk.said, desk.hear, bend_cbor),
        Decoder("csr", 2, [desk.csr], desk.certify),
        Decoder("tls-certificate", 2, [desk.certificate], desk.install),
        Decoder("backend", 1, [honest, *sorted(GOOD)], judge(shop, honest)),
        Decoder("http-body", 1, BODIES, api.post, bend_json),
        Decoder("http-path", 0.6, PATHS, api.get),
        Decoder("http-action", 0.6, api.actions, api.act),
        Decoder("http-key", 0.3, [b"key-7", b"0123456789abcdef-0123456789abcdef"], api.key),
    ]
