"""The best of tens of thousands of people, exactly, in a few milliseconds: integers first, floats for who is left.

Every template is kept as 128 bytes besides. The coarse pass computes in integers how far the probe is from each
template as rounded (OpenCV's `batchDistance`, squares of differences of bytes, at most 128 * 255^2: no overflow).

Why nobody is lost: let t be a template, p the probe, both unit vectors, and t', p' what their bytes stand for. By the
triangle inequality |t' - p'| <= |t - p| + |t - t'| + |p - p'|. The largest |t - t'| of all templates is kept, |p - p'|
is computed for each probe, so |t - p| is at least the coarse distance less both, and the cosine, 1 - |t - p|^2 / 2, is
at most what follows from that. A log-likelihood ratio grows with the cosine: each person gets an upper bound. People
are scored exactly in the order of their bounds, until the next bound is no higher than the worst of the best found:
nobody further down can be better, but for a rounding of 1e-4 nats.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from firmware.vision.calibration import Calibration, Reading
from firmware.vision.embed import EMBEDDING_SIZE, MODALITIES, Embedded, Modality
from firmware.vision.match import centred, cosines
from firmware.vision.templates import TEMPLATE_SHAPE, TemplateError, unit

MIDDLE, REACH = 128, 127  # a byte stands for (byte - MIDDLE) * step
CHUNK = 64  # people scored exactly at a time
BLOCK = 4096  # people rounded at a time
SLACK = 1e-5  # of float32 arithmetic, in distance
ROUNDING = 1e-4  # of the same, in nats
FAR = np.int32(4 * EMBEDDING_SIZE * 255**2)  # of a missing template: farther than any


@dataclass(frozen=True, slots=True)
class Hit:
    """A person found: index, sum of log-likelihood ratios, and by modality cosine and ratio."""

    who: int
    llr: float
    cosines: dict[Modality, float]
    ratios: dict[Modality, float]


class _Coarse:
    """One modality's templates as bytes."""

    def __init__(self, templates: NDArray[np.float32], reading: Reading) -> None:
        people, views, size = templates.shape
        self._reading = reading
        # views outside, people inside: the best view is an element-wise minimum
        self.codes = np.empty((views, people, size), np.uint8)
        self._missing = np.zeros((views, people), bool)
        top = max((float(np.abs(block).max()) for block, _ in self._blocks(templates)), default=1.0)
        self._step, self._error = max(top, 1e-3) / REACH, 0.0
        for start, (block, there) in zip(range(0, people, BLOCK), self._blocks(templates), strict=True):
            codes = np.rint(block / self._step).astype(np.int16) + MIDDLE
            off = np.linalg.norm(block - (codes - MIDDLE).astype(np.float32) * np.float32(self._step), axis=2)
            self._error = max(self._error, float(off.max(initial=0.0)))
            self.codes[:, start : start + BLOCK] = codes.astype(np.uint8).transpose(1, 0, 2)
            self._missing[:, start : start + BLOCK] = ~there.T
        self._any_missing = bool(self._missing.any())
        self._nobody = self._missing.all(axis=0)

    def _blocks(self, templates: NDArray[np.float32]) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
        return (centred(templates[i : i + BLOCK], self._reading) for i in range(0, len(templates), BLOCK))

    def most(self, probe: NDArray[np.float32]) -> NDArray[np.float32]:
        """(people,) float32: what each person's log-likelihood ratio is at most; 0 where there is no template."""
        moved = unit(unit(probe) - np.array(self._reading.mean, np.float32)) if self._reading.mean else unit(probe)
        code = np.clip(np.rint(moved / self._step), -REACH, REACH).astype(np.int16) + MIDDLE
        off = float(np.linalg.norm(moved - (code - MIDDLE).astype(np.float32) * np.float32(self._step)))
        views, people, size = self.codes.shape
        squares = cv2.batchDistance(
            self.codes.reshape(views * people, size), code.astype(np.uint8)[None], cv2.CV_32S,
            normType=cv2.NORM_L2SQR, K=1,
        )[0].reshape(views, people)  # fmt: skip
        if self._any_missing:
            squares = np.where(self._missing, FAR, squares)
        nearest = np.sqrt(squares.min(axis=0).astype(np.float32)) * np.float32(self._step)
        nearest = np.maximum(nearest - np.float32(self._error + off + SLACK), 0)
        cosine = 1 - nearest**2 / 2
        ratio = self._reading.slope * cosine + (self._reading.offset + ROUNDING)
        ratio = np.clip(ratio, -self._reading.limit, self._reading.limit)
        return np.where(self._nobody, np.float32(0), ratio).astype(np.float32)


class SearchIndex:
    """Everybody who can be found. Built once; a changed gallery needs a new one."""

    def __init__(self, templates: NDArray[np.float32], calibration: Calibration) -> None:
        """Keep (N, 2, 3, 128) float32 templates, not copied, and their bytes. Raises TemplateError."""
        if templates.shape[1:] != TEMPLATE_SHAPE or templates.dtype != np.float32:
            raise TemplateError(f"templates are (N, {TEMPLATE_SHAPE}) float32, not {templates.shape} {templates.dtype}")
        self._templates, self._calibration = templates, calibration
        self._coarse = [_Coarse(templates[:, i], calibration.of(modality)) for i, modality in enumerate(MODALITIES)]
        self.scored = 0

    def __len__(self) -> int:
        return len(self._templates)

    @property
    def bytes_coarse(self) -> int:
        """Memory of the bytes."""
        return sum(one.codes.nbytes for one in self._coarse)

    def best(self, probe: Embedded, count: int) -> list[Hit]:
        """The `count` people with the largest sum of log-likelihood ratios, best first. Raises TemplateError.

        `scored` then says how many people had to be compared exactly.
        """
        self.scored = 0
        if not len(self) or not probe.seen:
            return []
        most = np.zeros(len(self), np.float32)
        for modality, coarse in zip(MODALITIES, self._coarse, strict=True):
            vector = probe.of(modality)
            if vector is not None:
                most += coarse.most(vector)
        hits: list[Hit] = []
        while self.scored < len(self):
            left = min(CHUNK, len(self) - self.scored)
            chunk = np.argpartition(most, -left)[-left:] if left < len(self) else np.arange(len(self))
            bound = float(most[chunk].max())
            if len(hits) >= count and bound <= hits[-1].llr + ROUNDING:
                break
            hits = sorted([*hits, *self._exact(probe, chunk)], key=lambda hit: hit.llr, reverse=True)[:count]
            most[chunk] = -np.inf
            self.scored += left
        return hits

    def _exact(self, probe: Embedded, chunk: NDArray[np.intp]) -> list[Hit]:
        found: list[tuple[Modality, NDArray[np.float32]]] = []
        for i, modality in enumerate(MODALITIES):
            vector = probe.of(modality)
            if vector is not None:
                found.append((modality, cosines(vector, self._templates[chunk, i], self._calibration.of(modality))))
        hits = []
        for row, who in enumerate(chunk.tolist()):
            there = {modality: float(values[row]) for modality, values in found if values[row] == values[row]}
            ratios = {modality: self._calibration.of(modality).llr(cosine) for modality, cosine in there.items()}
            hits.append(Hit(who, sum(ratios.values()) if ratios else -math.inf, there, ratios))
        return hits
