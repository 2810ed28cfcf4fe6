"""A contact sheet of virtual people: `python -m hil.people.portraits --out docs/people.png`.

Everything on it is simulated infrared, and its title says so: the picture may be seen without the page about it.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hil.people.actor import NEUTRAL, Actor, Expression
from hil.people.generators import GENERATORS, Generator, make_actor
from hil.people.ict import data_dir_of
from hil.people.sliders import WEARABLES, Sliders
from hil.sensor.capture import render
from hil.sensor.scene import Placed, Pose, Scene

TILE_PX = 170
TITLE = "SIMULATED people before a simulated sensor; rows 1-3 ICT, rows 4-6 MakeHuman"
TITLE_PX = 28  # its height
AGES = (5.0, 10.0, 16.0, 35.0, 60.0, 85.0)
FACES = (
    NEUTRAL,
    Expression(smile=0.9),
    Expression(mouth_open=0.7),
    Expression(blink_left=1, blink_right=1),
    Expression(lips_round=0.9, brow_raise=0.8),
    Expression(smile=0.7, mouth_open=0.3, gaze_yaw_deg=20),
)


def sheet(data_dir: Path) -> NDArray[np.uint8]:
    """(rows, columns) uint8: a title; by row ages, expressions, things worn of each generator.

    The real scan is not on it: a picture of a real person has no place in the repository.
    """
    rows = []
    for generator in GENERATORS:
        rows.append([_portrait(_aged(generator, age, data_dir), NEUTRAL) for age in AGES])
        somebody = make_actor(generator, 6, sliders=Sliders(male=0.1, age_years=30), data_dir=data_dir)
        rows.append([_portrait(somebody, face) for face in FACES])
        dressed = [make_actor(generator, 40 + n, worn=(thing,), data_dir=data_dir) for n, thing in enumerate(WEARABLES)]
        tiles = [_portrait(actor, NEUTRAL, yaw_deg=20 * (n % 2)) for n, actor in enumerate(dressed)]
        both = make_actor(generator, 47, worn=("glasses", "mask"), data_dir=data_dir)
        rows.append([*tiles, _portrait(both, Expression(mouth_open=0.6))])
    portraits = np.vstack([np.hstack(row) for row in rows])
    return np.vstack([_title(portraits.shape[1]), portraits])


def _title(width: int) -> NDArray[np.uint8]:
    band = np.zeros((TITLE_PX, width), np.uint8)
    cv2.putText(band, TITLE, (8, TITLE_PX - 9), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1, cv2.LINE_AA)
    return band


def _aged(generator: Generator, age_years: float, data_dir: Path) -> Actor:
    sliders = Sliders(male=0.9 if age_years in AGES[::2] else 0.1, age_years=age_years)
    return make_actor(generator, 50 + int(age_years), sliders=sliders, data_dir=data_dir)


def _portrait(actor: Actor, face: Expression, yaw_deg: float = 0.0) -> NDArray[np.uint8]:
    pose = Pose(z_mm=420, yaw_deg=yaw_deg)
    ir, _ = render(Scene(tuple(Placed(surface, pose) for surface in actor.surfaces(face))), np.random.default_rng(0))
    square = ir[50:430, 130:510]
    return np.asarray(cv2.resize(square, (TILE_PX, TILE_PX), interpolation=cv2.INTER_AREA), np.uint8)


def main() -> None:
    """Render and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="default: TESSERA_DATA")
    asked = parser.parse_args()
    picture = sheet(asked.data or data_dir_of())
    cv2.imwrite(str(asked.out), picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == "__main__":
    main()
