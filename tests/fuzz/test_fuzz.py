"""Hostile bytes into every decoder: hypothesis draws where to begin and how to go on, `mutate` makes a batch from it.

The ordinary suite feeds some thousands; `make fuzz` a million and more, and prints what they came to. What crashes a
decoder is kept in `tests/corpus/<decoder>` and is fed to it first from then on.
"""

import gc
import hashlib
import random
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from firmware.payment import cbor
from hil.backend.shop import Shop
from tests.fuzz.decoders import CORPUS, Decoder, decoders
from tests.fuzz.mutate import mutants

BATCH = 64
SMALL = 20_000
LARGE = 1_050_000
GROWTH_BYTES = 256 * 1024
HAVE_CACHES = {
    "backend",
    "terminal-signed",
    "http-body",
    "http-path",
    "http-action",
    "http-key",
}  # a database's, a web framework's: watched in the long run
LEAVES: st.SearchStrategy[cbor.Item] = (
    st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=40) | st.booleans()
)
MAPS = st.dictionaries(st.integers(0, 23), LEAVES | st.lists(LEAVES, max_size=3), max_size=8)


class Tally:
    """How many inputs a decoder had, how they ended, and the most processor time one took, ns."""

    def __init__(self) -> None:
        self.inputs, self.ends, self.slowest_ns = 0, Counter[str](), 0

    def feed(self, decoder: Decoder, data: bytes) -> None:
        """Feed one; keep it if it is a crash."""
        began = time.process_time_ns()
        try:
            self.ends[decoder.feed(data)] += 1
        except BaseException:
            folder = CORPUS / decoder.name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
            raise
        self.slowest_ns = max(self.slowest_ns, time.process_time_ns() - began)
        self.inputs += 1


def fuzz(decoder: Decoder, inputs: int, fresh: bool) -> Tally:
    """Feed at least `inputs`; `fresh` ones each time, or the same."""
    tally = Tally()
    kept = decoder.kept
    for sample in (*kept, *decoder.samples):
        tally.feed(decoder, sample)

    @settings(
        max_examples=-(-inputs // BATCH), database=None, derandomize=not fresh, deadline=None,
        phases=(Phase.generate,), suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(
        base=st.sampled_from(decoder.samples) | st.binary(max_size=300) | MAPS.map(cbor.encode),
        seed=st.integers(0, 2**64 - 1),
    )
    def run(base: bytes, seed: int) -> None:
        source = random.Random(seed)
        tally.feed(decoder, base)
        bases = [base, base, *decoder.samples, *kept]
        for data in mutants(source, bases, None, BATCH // 2) + mutants(
            source, decoder.samples, decoder.bend, BATCH // 2
        ):
            tally.feed(decoder, data)

    run()
    return tally


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    shop.close()


def test_no_decoder_ends_in_anything_but_a_refusal(shop: Shop) -> None:
    for decoder in decoders(shop):
        tally = fuzz(decoder, int(SMALL * decoder.share / 100), fresh=False)
        assert tally.inputs > BATCH, decoder.name


def test_no_decoder_grows_with_what_it_refuses(shop: Shop) -> None:
    fed = [
        (decoder, data)
        for decoder in decoders(shop)
        if decoder.name not in HAVE_CACHES
        for data in mutants(random.Random(7), decoder.samples, decoder.bend, 60)
    ]
    for decoder, data in fed:
        decoder.feed(data)
    gc.collect()
    tracemalloc.start()
    try:
        for decoder, data in fed:
            decoder.feed(data)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < GROWTH_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.soak
@pytest.mark.timeout(4 * 3600)
def test_a_million_hostile_inputs(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    total, table = 0, []
    resident_kb = [_resident_kb()]
    for decoder in decoders(shop):
        tally = fuzz(decoder, int(LARGE * decoder.share / 100), fresh=True)
        total += tally.inputs
        resident_kb.append(_resident_kb())
        ends = ", ".join(f"{end} {count}" for end, count in tally.ends.most_common())
        table.append(f"| {decoder.name} | {tally.inputs} | {tally.slowest_ns / 1e6:.1f} | {ends} |")
    with capsys.disabled():
        sys.stdout.write("\n| decoder | inputs | most CPU ms | how they ended |\n|---|---|---|---|\n")
        sys.stdout.write("\n".join(table) + "\n")
        sys.stdout.write(f"{total} inputs; resident {resident_kb[0] // 1024} -> {resident_kb[-1] // 1024} MiB\n")
    assert total >= 1_000_000


def _resident_kb() -> int:
    """What the process holds now, kB."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])
