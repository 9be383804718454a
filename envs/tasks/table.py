"""The table that all tasks share: surface, distractor cubes and occluding posts."""

import numpy as np
from numpy.typing import NDArray

from envs.camera import DISTRACTOR, OCCLUDER, TABLE
from envs.parameters import MAX_DISTRACTORS, MAX_OCCLUDERS, SceneParameters
from envs.simulation import Position, Simulation

TABLE_HALF_EXTENTS_M = (0.45, 0.6, 0.02)
TABLE_CENTRE_M = (0.55, 0.0, -0.02)  # the table's surface is z = 0
CUBE_HALF_M = 0.025
AREA_LOW_M = (0.35, -0.24)  # where cubes stand: within the arm's reach and the camera's view
AREA_HIGH_M = (0.66, 0.24)
_MIN_GAP_M = 0.085  # between cube centres: two cubes never overlap, whatever their yaw
_HIDDEN_M = (0.0, 0.0, -5.0)  # beyond the camera's far plane
_POST_HALF_EXTENTS_M = (0.012, 0.022, 0.14)
_POST_X_M = (0.74, 0.86)  # between the nominal camera and the cubes
_POST_Y_M = (-0.22, 0.22)


class Tabletop:
    """Bodies that stand on the table beside the task's own. They are seen, and touch nothing."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        cube, post = (CUBE_HALF_M,) * 3, _POST_HALF_EXTENTS_M
        table = simulation.add_box(TABLE_HALF_EXTENTS_M, TABLE_CENTRE_M)
        self._distractors = [
            simulation.add_box(cube, _HIDDEN_M, collides=False) for _ in range(MAX_DISTRACTORS)
        ]
        self._posts = [simulation.add_box(post, _HIDDEN_M, collides=False) for _ in range(MAX_OCCLUDERS)]
        self.segments = {table: TABLE} | dict.fromkeys(self._posts, OCCLUDER)
        self.segments |= {body: DISTRACTOR + i for i, body in enumerate(self._distractors)}

    def reset(self, rng: np.random.Generator, scene: SceneParameters, taken: NDArray[np.float64]) -> None:
        """Place the distractors clear of `taken`, (n, 2) metres, and the posts before the camera."""
        # Everything is drawn, used or not: more distractors leave the others where they were.
        spots = scatter(rng, MAX_DISTRACTORS, taken)
        yaws = rng.uniform(-np.pi, np.pi, MAX_DISTRACTORS)
        posts = rng.uniform((_POST_X_M[0], _POST_Y_M[0]), (_POST_X_M[1], _POST_Y_M[1]), (MAX_OCCLUDERS, 2))
        self._show(self._distractors, spots, scene.distractor_count, CUBE_HALF_M, yaws)
        self._show(self._posts, posts, scene.occluder_count, _POST_HALF_EXTENTS_M[2], np.zeros(len(posts)))

    def _show(
        self,
        bodies: list[int],
        spots: NDArray[np.float64],
        count: int,
        height_m: float,
        yaws: NDArray[np.float64],
    ) -> None:
        for index, body in enumerate(bodies):
            shown = index < min(count, len(spots))
            position: Position = _HIDDEN_M
            if shown:
                position = (float(spots[index, 0]), float(spots[index, 1]), height_m)
            self._simulation.place(body, position, float(yaws[index]))


def scatter(rng: np.random.Generator, count: int, taken: NDArray[np.float64]) -> NDArray[np.float64]:
    """Draw up to `count` spots for cubes in the area, (m, 2) metres, apart from each other and `taken`."""
    spots = taken.reshape(-1, 2)
    for candidate in rng.uniform(AREA_LOW_M, AREA_HIGH_M, (count * 8, 2)):
        if len(spots) - len(taken) == count:
            break
        if not len(spots) or np.linalg.norm(spots - candidate, axis=1).min() >= _MIN_GAP_M:
            spots = np.vstack([spots, candidate])
    return spots[len(taken) :]
