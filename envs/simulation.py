"""`Simulation`: owns one PyBullet client: load, step, close."""

from typing import Any

from pybullet_utils.bullet_client import BulletClient

from envs.native import pybullet, silenced

Position = tuple[float, float, float]
TIME_STEP_S = 1 / 240  # PyBullet's own; its contact parameters are tuned for it
_APART_M = 20.0  # more than any body is wide
_WHITE = (1.0, 1.0, 1.0, 1.0)  # bodies are white: colour is composed after rendering


class _Client(BulletClient):
    _client = -1  # one that was interrupted while connecting has nothing to clean up


def connect() -> Any:
    """Return a new physics server without a window."""
    with silenced():
        return _Client(pybullet.DIRECT)


class Simulation:
    """One physics world without a window; positions in metres, the robot's base frame."""

    def __init__(self) -> None:
        self.client: Any = connect()
        self.client.setGravity(0.0, 0.0, -9.81)
        # 20 iterations instead of 50: a quarter faster, same motion for one arm (field measurements).
        self.client.setPhysicsEngineParameter(
            fixedTimeStep=TIME_STEP_S, numSolverIterations=20, deterministicOverlappingPairs=1
        )
        self._homes: list[Any] = []

    def add_box(
        self, half_extents: Position, position: Position, mass: float = 0.0, collides: bool = True
    ) -> int:
        """Add a box (mass 0 is fixed) and return its body id."""
        visual = self.client.createVisualShape(pybullet.GEOM_BOX, halfExtents=half_extents, rgbaColor=_WHITE)
        collision = -1
        if collides:
            collision = self.client.createCollisionShape(pybullet.GEOM_BOX, halfExtents=half_extents)
        return int(self.client.createMultiBody(mass, collision, visual, position))

    def place(self, body: int, position: Position, yaw_rad: float = 0.0) -> None:
        """Put a body at rest at a position (its centre), turned about +z."""
        quaternion = self.client.getQuaternionFromEuler((0.0, 0.0, yaw_rad))
        self.client.resetBasePositionAndOrientation(body, position, quaternion)
        self.client.resetBaseVelocity(body, (0.0,) * 3, (0.0,) * 3)

    def step(self, substeps: int) -> None:
        """Advance by `substeps` of `TIME_STEP_S`."""
        for _ in range(substeps):
            self.client.stepSimulation()

    def rewind(self) -> None:
        """Put every body where it was at the first call, without any memory of contacts.

        PyBullet keeps contacts, and their order, while two bodies overlap, however they are moved: an
        episode would depend on the one before. So all bodies are taken apart for a moment.
        """
        unknown = range(len(self._homes), self.client.getNumBodies())
        self._homes += [self.client.getBasePositionAndOrientation(body) for body in unknown]
        for body, (_, quaternion) in enumerate(self._homes):
            self.client.resetBasePositionAndOrientation(body, (0.0, _APART_M * body, _APART_M), quaternion)
        self.client.performCollisionDetection()
        for body, home in enumerate(self._homes):
            self.client.resetBasePositionAndOrientation(body, *home)

    def close(self) -> None:
        """Free the physics server; closing twice is harmless."""
        if self.client.isConnected():
            self.client.disconnect()
