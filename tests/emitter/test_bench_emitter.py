import pytest
from rich.console import Console

from hil.rig import bench_emitter


def test_every_stop_is_measured_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_emitter, "BEATS", 5)
    report = bench_emitter.measure(trials=2)
    expected = {"line cut": "emitter_line", "over-current": "emitter_current", "duty limit": "emitter_duty"}
    for name, row in report.stops.items():
        # a busy machine may hold the host up, and then it is that
        assert set(row.named) <= {expected.get(name, "emitter_heartbeat"), "emitter_heartbeat"}
        assert sum(row.named.values()) == 2
    assert report.line["quiet"].completed + sum(report.line["quiet"].ended_by.values()) == 2
    with Console(record=True, width=200) as console:
        bench_emitter.show(console, report)
    assert "simulated" in console.export_text()
