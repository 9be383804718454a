"""`WorldParameters`: every number that makes one world, with its unit, its bounds and its nominal value.

Sampling (`envs.domain`) and applying (`envs.physics`, `envs.camera`, `envs.appearance`,
`envs.sensing`) are separate, so a world can be replayed from its parameters alone.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

Vector = tuple[float, ...]
MAX_DISTRACTORS = 6
MAX_OCCLUDERS = 4
TEXTURES = (
    "plain", "noise", "stripes", "checker", "speckle",
    "brick", "grass", "gravel", "coffee", "astronaut", "cat", "rocket",
)  # fmt: skip
CHANNEL_ORDERS = ("rgb", "rbg", "grb", "gbr", "brg", "bgr")


def _number(default: float, low: float, high: float, doc: str) -> Any:
    """Return a scalar (or, by its default, integer) field with inclusive bounds."""
    return field(default=default, metadata={"low": low, "high": high, "doc": doc})


def _vector(default: Vector, low: float, high: float, doc: str) -> Any:
    return field(default=default, metadata={"low": low, "high": high, "doc": doc})


def _name(default: str, choices: tuple[str, ...], doc: str) -> Any:
    return field(default=default, metadata={"choices": choices, "doc": doc})


@dataclass(frozen=True)
class SceneParameters:
    """What stands where: camera, light direction, objects. Offsets are in the robot's base frame."""

    camera_position_offset_m: Vector = _vector((0.0,) * 3, -0.6, 0.6, "added to the camera position")
    camera_target_offset_m: Vector = _vector((0.0,) * 3, -0.4, 0.4, "added to the point looked at")
    camera_roll_deg: float = _number(0.0, -45.0, 45.0, "rotation about the optical axis")
    field_of_view_offset_deg: float = _number(0.0, -25.0, 35.0, "added to the vertical field of view")
    light_azimuth_deg: float = _number(40.0, -180.0, 180.0, "direction of the lamp about +z")
    light_elevation_deg: float = _number(60.0, 5.0, 90.0, "height of the lamp above the table plane")
    distractor_count: int = _number(2, 0, MAX_DISTRACTORS, "cubes on the table that are not the goal")
    occluder_count: int = _number(0, 0, MAX_OCCLUDERS, "posts between camera and workspace")


@dataclass(frozen=True)
class DynamicsParameters:
    """How the robot moves. Scales multiply the nominal value of the robot."""

    joint_kp_scale: float = _number(1.0, 0.02, 5.0, "position gain of the joint servos")
    joint_force_scale: float = _number(1.0, 0.01, 2.0, "torque limit of the joint motors")
    joint_velocity_scale: float = _number(1.0, 0.02, 2.0, "velocity limit of the joint motors")
    joint_friction_nm: float = _number(
        0.0,
        0.0,
        80.0,
        "Coulomb friction the shoulder motors overcome; wrist scaled by torque limit",
    )
    joint_damping_nms: float = _number(0.0, 0.0, 100.0, "viscous friction of each joint")
    link_mass_scale: float = _number(1.0, 0.3, 3.0, "mass of every link")
    payload_kg: float = _number(0.0, 0.0, 20.0, "mass carried by the hand")
    control_period_scale: float = _number(1.0, 0.2, 4.0, "control period over the nominal one")
    action_gain: Vector = _vector((1.0,) * 3, -3.0, 3.0, "gain on each displacement axis; -1 mirrors it")


@dataclass(frozen=True)
class AppearanceParameters:
    """How surfaces, light and camera colour look. Colours are linear RGB in 0..1."""

    goal_hue_deg: float = _number(0.0, -180.0, 360.0, "hue of the goal cube, 0 is red")
    goal_saturation: float = _number(0.85, 0.0, 1.0, "saturation of the goal cube")
    goal_value: float = _number(0.8, 0.0, 1.0, "brightness of the goal cube")
    distractor_hue_deg: Vector = _vector(
        (215.0, 120.0, 50.0, 275.0, 180.0, 85.0), -180.0, 360.0, "hue of each distractor"
    )
    distractor_saturation: float = _number(0.8, 0.0, 1.0, "saturation of the distractors")
    distractor_value: float = _number(0.7, 0.0, 1.0, "brightness of the distractors")
    robot_rgb: Vector = _vector((0.85, 0.85, 0.87), 0.0, 1.0, "colour of the robot")
    table_rgb: Vector = _vector((0.55, 0.48, 0.40), 0.0, 1.0, "colour of the table")
    background_rgb: Vector = _vector((0.60, 0.62, 0.65), 0.0, 1.0, "colour of all behind the table")
    occluder_rgb: Vector = _vector((0.25, 0.25, 0.28), 0.0, 1.0, "colour of the posts")
    table_texture: str = _name("plain", TEXTURES, "pattern lying on the table")
    table_texture_strength: float = _number(0.0, 0.0, 1.0, "0: plain colour, 1: full pattern")
    table_texture_size_m: float = _number(0.5, 0.05, 3.0, "edge of one tile on the table")
    table_texture_rotation_deg: float = _number(0.0, -180.0, 180.0, "rotation of the pattern")
    table_texture_offset: Vector = _vector((0.0, 0.0), 0.0, 1.0, "shift of the pattern, in tiles")
    background_texture: str = _name("plain", TEXTURES, "pattern behind the table")
    background_texture_strength: float = _number(0.0, 0.0, 1.0, "0: plain colour, 1: full pattern")
    background_texture_size: float = _number(1.0, 0.1, 4.0, "edge of a tile, as sine of view angle")
    background_texture_offset: Vector = _vector((0.0, 0.0), 0.0, 1.0, "shift of the pattern, in tiles")
    light_gain: float = _number(1.0, 0.02, 4.0, "brightness of all light")
    light_ambient: float = _number(0.45, 0.0, 1.0, "share of light that comes from everywhere")
    white_balance: Vector = _vector((1.0,) * 3, 0.2, 3.0, "gain of the red, green, blue channel")
    gamma: float = _number(1.0, 0.2, 5.0, "exponent applied to the image")
    hue_shift_deg: float = _number(0.0, -180.0, 180.0, "rotation of all hues (YIQ plane)")
    saturation_scale: float = _number(1.0, 0.0, 3.0, "chroma of the whole image")
    channel_order: str = _name("rgb", CHANNEL_ORDERS, "order in which the camera gives its channels")
    glare_strength: float = _number(0.0, 0.0, 3.0, "brightness of a round reflex, 1 is white")
    glare_position: Vector = _vector((0.5, 0.5), 0.0, 1.0, "centre of the reflex (x, y), in image widths")
    glare_radius: float = _number(0.25, 0.02, 1.0, "radius of the reflex, in image widths")


@dataclass(frozen=True)
class SensingParameters:
    """What stands between the world and the policy. A step is one control period."""

    image_blur_sigma_px: float = _number(0.0, 0.0, 6.0, "Gaussian blur, pixels of a 64-pixel image")
    image_noise_std: float = _number(0.0, 0.0, 1.0, "Gaussian noise, as a share of full scale")
    frame_drop_probability: float = _number(0.0, 0.0, 1.0, "chance that a frame repeats the last one")
    proprio_noise_std_rad: float = _number(0.0, 0.0, 1.0, "noise on each joint position")
    proprio_bias_rad: Vector = _vector((0.0,) * 7, -0.6, 0.6, "constant error of each joint position")
    observation_delay_steps: int = _number(0, 0, 20, "age of what the policy sees")
    action_delay_steps: int = _number(0, 0, 20, "steps between an action and its effect")
    action_noise_std: float = _number(0.0, 0.0, 2.0, "noise on each action, in action units")


@dataclass(frozen=True)
class WorldParameters:
    """One world, as plain numbers; the default is the nominal world."""

    scene: SceneParameters = SceneParameters()
    dynamics: DynamicsParameters = DynamicsParameters()
    appearance: AppearanceParameters = AppearanceParameters()
    sensing: SensingParameters = SensingParameters()

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return nested plain values, fit for JSON."""
        return dataclasses.asdict(self)


NOMINAL = WorldParameters()
GROUPS: dict[str, type] = {
    "scene": SceneParameters,
    "dynamics": DynamicsParameters,
    "appearance": AppearanceParameters,
    "sensing": SensingParameters,
}
# "scene.camera_roll_deg" -> its dataclass field
FIELDS: dict[str, dataclasses.Field[Any]] = {
    f"{group}.{item.name}": item for group, cls in GROUPS.items() for item in dataclasses.fields(cls)
}


def world_from_values(values: dict[str, Any]) -> WorldParameters:
    """Build a world from dotted names and values; names left out are nominal."""
    grouped: dict[str, dict[str, Any]] = {group: {} for group in GROUPS}
    for key, value in values.items():
        group, name = key.split(".")
        grouped[group][name] = value
    return WorldParameters(**{group: cls(**grouped[group]) for group, cls in GROUPS.items()})
