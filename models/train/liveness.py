"""Training the liveness network: `tessera models train liveness`.

Rules kept here:
- One seed, one result on one machine: every draw comes from generators that a checkpoint keeps.
- A checkpoint after every epoch, written whole or not at all; the same command goes on from it, days later.
- Tuning people decide nothing but what is printed; evaluation people are not touched.

Loss: cross entropy over life and the groups of instruments, life weighing as much as all of them together, so that
what two groups have in common is learned and no group's number decides.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from firmware.liveness.cues.network import alive
from models.manifest import ModelError
from models.train.liveness_batches import Batches
from models.train.liveness_faces import GROUPS, TRAIN_PEOPLE, TUNE_PEOPLE, Stored, faces_of, group_of
from models.train.liveness_network import LivenessNetwork


@dataclass(frozen=True, slots=True)
class Plan:
    """What decides a training run; `without` is a group that is left out, empty for none."""

    people: int = 326
    tune_people: int = 90
    epochs: int = 16
    batch: int = 64
    rate: float = 3e-3
    decay: float = 2e-2
    smoothing: float = 0.05
    without: str = ""
    seed: int = 1


def train(plan: Plan, faces_dir: Path, out: Path) -> None:
    """Train, or go on; leaves `out / checkpoint.pt`. Raises ModelError where another plan's is there already."""
    torch.set_num_threads(1)
    torch.manual_seed(plan.seed)
    faces, tune = load(TRAIN_PEOPLE[: plan.people], faces_dir), load(TUNE_PEOPLE[: plan.tune_people], faces_dir)
    group = group_of(faces.kind)
    rows = np.flatnonzero(group != _left_out(plan))
    network = LivenessNetwork().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), plan.rate, weight_decay=plan.decay)
    batches, steps = Batches(plan.seed), len(rows) // plan.batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.rate, plan.epochs * steps, pct_start=0.2)
    parts: dict[str, Any] = {"network": network, "optimiser": optimiser, "schedule": schedule}
    history: list[tuple[float, float]] = []
    out.mkdir(parents=True, exist_ok=True)
    path = out / "checkpoint.pt"
    if path.exists():
        kept = torch.load(path, weights_only=True)
        if kept.get("plan") != asdict(plan):
            raise ModelError(f"{path}: of another plan; give another --out, or the options it was begun with")
        for name, part in parts.items():
            part.load_state_dict(kept[name])
        batches.state, history = kept["variations"], [tuple(row) for row in kept["history"]]
        torch.set_rng_state(kept["random"])
    weights = _weights(group[rows])
    console = Console()
    for epoch in range(len(history), plan.epochs):
        order = rows[np.random.default_rng([plan.seed, epoch]).permutation(len(rows))]
        network.train()
        total = 0.0
        for step in range(steps):
            at = order[step * plan.batch : (step + 1) * plan.batch]
            scores, wanted = network(batches.varied(faces, at)), torch.from_numpy(group[at])
            loss = nn.functional.cross_entropy(scores, wanted, weights, label_smoothing=plan.smoothing)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
        rate = equal_error(values(network, tune, batches), tune)
        history.append((total / steps, rate))
        console.print(f"epoch {epoch + 1}: loss {total / steps:.3f}, EER of tuning people {rate:.4f}")
        kept_now = {name: part.state_dict() for name, part in parts.items()}
        partial = path.with_suffix(".partial")
        states = {"variations": batches.state, "random": torch.get_rng_state(), "history": history}
        torch.save(kept_now | states | {"plan": asdict(plan)}, partial)
        partial.replace(path)


def load(people: range, faces_dir: Path) -> Stored:
    """The stored faces of all `people` one after another, made where they are not there yet."""
    made = [faces_of(seed, faces_dir) for seed in track(people, description="faces")]
    names = ("kind", "light", "shape", "relief", "known")
    return Stored(*(np.concatenate([getattr(one, name) for one in made]) for name in names))


@torch.inference_mode()
def values(network: nn.Module, faces: Stored, batches: Batches) -> NDArray[np.float64]:
    """(N,) value of each face, larger is more alive."""
    network.eval()
    found = []
    for start in range(0, len(faces.kind), 64):
        scores = network(batches.plain(faces, slice(start, start + 64))).numpy()
        found += [alive(row) for row in scores]
    return np.array(found)


def equal_error(found: NDArray[np.float64], faces: Stored) -> float:
    """Where as large a share of living faces falls below a value as of instruments, each group alike, lies above."""
    group = group_of(faces.kind)
    living = np.sort(found[group == 0])
    misses = np.arange(len(living)) / len(living)
    passed = [np.sort(found[group == one]) for one in range(1, len(GROUPS)) if (group == one).any()]
    accepted = np.mean([1 - np.searchsorted(own, living) / len(own) for own in passed], axis=0)
    at = int(np.argmin(np.abs(misses - accepted)))
    return float((misses[at] + accepted[at]) / 2)


def _left_out(plan: Plan) -> int:
    if not plan.without:
        return -1
    if plan.without not in tuple(GROUPS)[1:]:
        raise ModelError(f"no group {plan.without!r} to leave out; there are: {', '.join(tuple(GROUPS)[1:])}")
    return tuple(GROUPS).index(plan.without)


def _weights(group: NDArray[np.int64]) -> Tensor:
    """Of each group: life half of everything, every group of instruments the same."""
    counts = np.bincount(group, minlength=len(GROUPS))
    shares = np.where(np.arange(len(GROUPS)) == 0, 0.5, 0.5 / max(int((counts[1:] > 0).sum()), 1))
    return torch.from_numpy(np.where(counts > 0, shares * len(group) / np.maximum(counts, 1), 0)).float()
