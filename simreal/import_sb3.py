"""Import a stable-baselines3 model as a bundle for the environment that it was trained in."""

import hashlib
from pathlib import Path

from policies import PolicyBundle
from policies.errors import Sb3Error
from policies.sb3_import import import_sb3
from policies.sb3_spaces import SpaceInfo
from simreal.bundles import describe
from simreal.errors import SimrealError
from simreal.foreign import adapted
from simreal.targets import make


def import_policy(
    model: Path, env_id: str, normalize: Path | None, control_period: float | None, seed: int
) -> PolicyBundle:
    """Return the bundle of a model that stable-baselines3 saved.

    Args:
        model: The zip.
        env_id: Gymnasium id or `module:function` of the environment that it was trained in.
        normalize: Pickle of the VecNormalize that it was trained behind.
        control_period: Seconds between two actions, where the environment does not tell.
        seed: For the manifest.

    Raises:
        SimrealError: saying which part cannot be imported, or how the spaces differ.
    """
    env = make(env_id)
    try:
        found = import_sb3(model, normalize)
        spaces = SpaceInfo.of(env.observation_space, env.action_space, env_id)
        if not spaces.fits(found.spaces):
            raise SimrealError(f"{model}: made for {found.spaces}, but {env_id} has {spaces}")
        origin = {
            "zip_sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
            "policy_class": found.policy_class,
            "stable_baselines3": found.version,
            "normalized": normalize is not None,
        }
        extra = {"imported": origin}
        return describe(found.policy, adapted(env), env_id, "imported", seed, extra, control_period)
    except Sb3Error as error:
        raise SimrealError(str(error)) from None
    finally:
        env.close()
