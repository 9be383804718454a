"""A bundle that does not fit a robot is refused before anything moves, in one line."""

import dataclasses
from typing import Any

import gymnasium
import pytest

import envs  # noqa: F401  registers the ids
from policies import BundleManifest, Policy
from simreal.bundles import describe
from simreal.deploy.fit import check_fit, make_controller, robot_spec
from simreal.deploy.robot import Mapping
from simreal.deploy.simulated import SimulatedRobot
from simreal.errors import SimrealError
from simreal.pretrain.architecture import student_config

NEGATIVE = {"verdict": "negative", "baseline": "target-only", "ci_low": -0.4, "ci_high": -0.1}


@pytest.fixture(scope="module")
def manifest() -> BundleManifest:
    env = gymnasium.make("simreal/PandaReach-v0")
    found = describe(Policy(student_config(env)), env, "simreal/PandaReach-v0", "source", 0, {}).manifest
    env.close()
    return found


@pytest.fixture(scope="module")
def controller(manifest: BundleManifest):
    return make_controller(manifest)


@pytest.fixture(scope="module")
def robot() -> SimulatedRobot:
    return SimulatedRobot()


def proprio(manifest: BundleManifest, **changes: Any) -> BundleManifest:
    specs = [dataclasses.replace(s, **changes) if s.name == "proprio" else s for s in manifest.observations]
    return dataclasses.replace(manifest, observations=tuple(specs))


def action(manifest: BundleManifest, **changes: Any) -> BundleManifest:
    return dataclasses.replace(manifest, action=dataclasses.replace(manifest.action, **changes))


def swapped(manifest: BundleManifest) -> BundleManifest:
    order = list(next(spec.order for spec in manifest.observations if spec.name == "proprio"))
    order[0], order[1] = order[1], order[0]
    return proprio(manifest, order=tuple(order))


def check(manifest: BundleManifest, controller, robot, period_s: float = 0.05, override: str | None = None):
    return check_fit(
        manifest, controller, Mapping.default(robot_spec_names(controller)), robot, period_s, override
    )


def robot_spec_names(controller) -> tuple[str, ...]:
    return controller.kinematics.joint_names


def test_what_fits_is_taken(manifest, controller, robot) -> None:
    assert check(manifest, controller, robot) == []
    assert robot_spec(manifest).name == "panda"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (swapped, "order: the bundle reads panda_joint2_rad, panda_joint1_rad"),
        (lambda m: proprio(m, units=("deg",) * 7 + ("m",) * 4), "units: the bundle reads deg"),
        (lambda m: action(m, units=("mm",) * 3), "units: the bundle gives mm"),
        (lambda m: action(m, scale=(0.1,) * 3), "scale: the bundle gives"),
        (lambda m: action(m, order=("z_m", "y_m", "x_m")), "order: the bundle gives z_m, y_m, x_m"),
        (lambda m: action(m, low=-2.0, high=2.0), "limits"),
    ],
)
def test_spaces_units_and_order_cannot_be_overridden(manifest, controller, robot, change, words) -> None:
    with pytest.raises(SimrealError, match=words) as caught:
        check(change(manifest), controller, robot, override="I know better")
    assert "\n" not in str(caught.value)


def test_unknown_meanings_and_joints(manifest) -> None:
    with pytest.raises(SimrealError, match="did you mean 'end-effector displacement'"):
        make_controller(action(manifest, meaning="end effector displacement"))
    with pytest.raises(SimrealError, match="joints not named: of no known robot; panda has panda_joint1"):
        robot_spec(proprio(manifest, order=(), units=()))


def test_a_robot_that_lacks_a_key_or_a_camera(manifest, controller, robot) -> None:
    names = controller.kinematics.joint_names
    with pytest.raises(SimrealError, match="observation has no 'wrist'"):
        check_fit(manifest, controller, Mapping.default(names, "wrist"), robot, 0.05)
    blind = dataclasses.replace(Mapping.default(names), camera=None)
    with pytest.raises(SimrealError, match="the mapping names no camera"):
        check_fit(manifest, controller, blind, robot, 0.05)


@pytest.mark.parametrize(
    ("rate", "verdict", "words"),
    [
        (0.02, None, "rate: the bundle acts at 20 Hz, the loop at 50 Hz"),
        (0.05, NEGATIVE, "verdict: negative: cotrain is worse than target-only on workshop@3"),
    ],
)
def test_rate_and_verdict_are_overridden_in_words(manifest, controller, robot, rate, verdict, words) -> None:
    extra = {"verdict": verdict, "target": "workshop@3"} if verdict else {}
    bundle = dataclasses.replace(manifest, method="cotrain", extra=extra)
    for refused in (None, "", "  "):
        with pytest.raises(SimrealError, match=f"{words}; to run it all the same, say why: --override"):
            check(bundle, controller, robot, rate, refused)
    assert check(bundle, controller, robot, rate, "only to look at it") == [words]


def test_a_robot_of_another_rate(manifest, controller) -> None:
    slow = SimulatedRobot(control_period_s=0.1)
    with pytest.raises(SimrealError, match="robot 'simulated' at 10 Hz"):
        check(manifest, controller, slow)


def test_a_verdict_that_is_not_negative(manifest, controller, robot) -> None:
    for verdict in ("positive", "safe", "inconclusive"):
        extra = {"verdict": {**NEGATIVE, "verdict": verdict}}
        assert check(dataclasses.replace(manifest, extra=extra), controller, robot) == []
