"""Write sampled dynamics into a simulation, always from the remembered nominal value."""

from envs.parameters import DynamicsParameters
from envs.robots.base import Robot
from envs.simulation import TIME_STEP_S, Simulation

CONTROL_PERIOD_S = 0.05


class Physics:
    """Remembers a robot's nominal link masses, so that repeated resets cannot drift."""

    def __init__(self, simulation: Simulation, robot: Robot) -> None:
        self._client = simulation.client
        self._robot = robot
        links = range(-1, self._client.getNumJoints(robot.body))
        self.nominal_masses_kg = {
            link: float(self._client.getDynamicsInfo(robot.body, link)[0]) for link in links
        }
        self._applied = DynamicsParameters()

    def apply(self, dynamics: DynamicsParameters) -> None:
        """Set gains, limits, friction, masses and payload of the robot."""
        robot = self._robot
        robot.gain = robot.spec.position_gain * dynamics.joint_kp_scale
        robot.velocities_rad_s = robot.velocity_limits_rad_s * dynamics.joint_velocity_scale
        limits = robot.force_limits_nm * dynamics.joint_force_scale
        # A motor at its limit delivers what Coulomb friction leaves; below it, its servo hides it.
        friction = dynamics.joint_friction_nm * robot.force_limits_nm / robot.force_limits_nm.max()
        robot.forces_nm = (limits - friction).clip(min=0.0)
        # changeDynamics on every link costs a millisecond: only when something changed.
        if _link_values(dynamics) != _link_values(self._applied):
            self._write_links(dynamics)
        self._applied = dynamics

    def _write_links(self, dynamics: DynamicsParameters) -> None:
        body = self._robot.body
        for link, mass in self.nominal_masses_kg.items():
            scaled = mass * dynamics.link_mass_scale
            if link == self._robot.spec.hand_link:
                scaled += dynamics.payload_kg
            self._client.changeDynamics(body, link, mass=scaled)
        for joint in self._robot.spec.arm_joints:
            self._client.changeDynamics(body, joint, jointDamping=dynamics.joint_damping_nms)


def substeps(dynamics: DynamicsParameters, control_period_s: float) -> int:
    """Return the number of physics steps in one control period, at least 1."""
    return max(1, round(control_period_s * dynamics.control_period_scale / TIME_STEP_S))


def _link_values(dynamics: DynamicsParameters) -> tuple[float, float, float]:
    return dynamics.link_mass_scale, dynamics.payload_kg, dynamics.joint_damping_nms
