"""Training the depth identity network: `tessera models train depth-identity`.

Rules kept here:
- One seed, one result on one machine: every draw comes from generators that a checkpoint keeps.
- A checkpoint after every epoch, written whole or not at all; the same command goes on from it, days later.
- Tuning people decide nothing but what is printed; evaluation people are not touched.

Loss: additive angular margin (ArcFace, Deng et al. 2019).
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress, track
from torch import Tensor, nn

from models.manifest import ModelError
from models.train.depth_batches import Batches
from models.train.depth_faces import TRAIN_PEOPLE, TUNE_PEOPLE, faces_of
from models.train.depth_network import EMBEDDING, DepthNetwork


@dataclass(frozen=True, slots=True)
class Plan:
    """What decides a training run."""

    people: int = 760
    tune_people: int = 80
    epochs: int = 8
    batch: int = 128
    rate: float = 0.1
    momentum: float = 0.9
    decay: float = 5e-4
    margin: float = 0.35
    scale: float = 32.0
    seed: int = 1


class Margin(nn.Module):
    """Logits of `scale cos(angle + margin)` to a person's own centre, `scale cos(angle)` to the others'."""

    def __init__(self, people: int, plan: Plan) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.randn(people, EMBEDDING) * 0.01)
        self._scale, self._margin = plan.scale, plan.margin

    def forward(self, embeddings: Tensor, who: Tensor, share: float) -> Tensor:
        """Cross entropy; `share` of the margin is asked, so that it can grow."""
        cosine = nn.functional.normalize(embeddings) @ nn.functional.normalize(self.centres).T
        own = cosine.gather(1, who[:, None]).clamp(-1 + 1e-6, 1 - 1e-6)
        margin = self._margin * share
        harder = torch.cos(torch.acos(own) + margin)
        # past half a turn the cosine would rise again
        harder = torch.where(own > math.cos(math.pi - margin), harder, own - margin * math.sin(margin))
        return nn.functional.cross_entropy(cosine.scatter(1, who[:, None], harder) * self._scale, who)


def train(plan: Plan, faces_dir: Path, out: Path) -> None:
    """Train, or go on; leaves `out / checkpoint.pt`. Raises ModelError where another plan's is there already."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(plan.seed)
    faces = load(list(TRAIN_PEOPLE)[: plan.people], faces_dir)
    tune = load(list(TUNE_PEOPLE)[: plan.tune_people], faces_dir)
    network = DepthNetwork().to(device, memory_format=torch.channels_last)
    margin = Margin(plan.people, plan).to(device)
    parameters = [*network.parameters(), *margin.parameters()]
    optimiser = torch.optim.SGD(parameters, plan.rate, plan.momentum, weight_decay=plan.decay, nesterov=True)
    batches = Batches(plan.seed, device)
    steps = plan.people * faces.shape[1] // plan.batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.rate, plan.epochs * steps, pct_start=0.1)
    parts = {"network": network, "margin": margin, "optimiser": optimiser, "schedule": schedule}
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
    with Progress() as progress:
        for epoch in range(len(history), plan.epochs):
            order = np.random.default_rng([plan.seed, epoch]).permutation(plan.people * faces.shape[1])
            share = min(1.0, (epoch + 1) / 4)
            task = progress.add_task(f"epoch {epoch + 1} of {plan.epochs}", total=steps)
            network.train()
            total = 0.0
            for step in range(steps):
                person, which = np.divmod(order[step * plan.batch : (step + 1) * plan.batch], faces.shape[1])
                loss = margin(network(batches.varied(faces[person, which])), torch.from_numpy(person).to(device), share)
                optimiser.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(parameters, 5.0)
                optimiser.step()
                schedule.step()
                total += float(loss.detach())
                progress.update(task, advance=1, description=f"epoch {epoch + 1} loss {total / (step + 1):.3f}")
            rate = equal_error(embed(network, tune, batches))
            history.append((total / steps, rate))
            progress.console.print(f"epoch {epoch + 1}: loss {total / steps:.3f}, EER of tuning people {rate:.4f}")
            kept_now: dict[str, Any] = {name: part.state_dict() for name, part in parts.items()}
            partial = path.with_suffix(".partial")
            torch.save(kept_now | {"variations": batches.state, "history": history, "plan": asdict(plan)}, partial)
            partial.replace(path)


def load(people: list[int], faces_dir: Path) -> NDArray[np.int16]:
    """(people, frames, ROWS, COLUMNS) stored faces, made where they are not there yet."""
    return np.stack([faces_of(seed, faces_dir) for seed in track(people, description="faces")])


@torch.inference_mode()
def embed(network: nn.Module, faces: NDArray[np.int16], batches: Batches) -> NDArray[np.float32]:
    """(people, frames, EMBEDDING) float32 unit vectors."""
    network.eval()
    rows = [nn.functional.normalize(network(batches.plain(one))).cpu().numpy() for one in faces]
    return np.stack(rows).astype(np.float32)


def equal_error(embedded: NDArray[np.float32]) -> float:
    """Equal error rate over all pairs of frames of different people and of the same."""
    people, frames, _ = embedded.shape
    flat = embedded.reshape(people * frames, -1)
    cosine = flat @ flat.T
    who = np.repeat(np.arange(people), frames)
    upper = np.triu(np.ones(cosine.shape, bool), 1)
    same = who[:, None] == who[None, :]
    genuine, impostor = np.sort(cosine[upper & same]), np.sort(cosine[upper & ~same])
    misses = np.arange(len(genuine)) / len(genuine)
    accepted = 1 - np.searchsorted(impostor, genuine) / len(impostor)
    at = int(np.argmin(np.abs(misses - accepted)))
    return float((misses[at] + accepted[at]) / 2)
