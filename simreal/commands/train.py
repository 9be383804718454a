"""`run`, `pretrain`, `import`: where a source policy comes from."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from simreal import run as main_job
from simreal.commands.common import Common
from simreal.import_sb3 import import_policy
from simreal.presets import PRESETS, Preset
from simreal.pretrain import PretrainConfig
from simreal.pretrain import run as pretrain
from simreal.pretrain.augment import Augment
from simreal.progress import say


@dataclass(frozen=True)
class Run(Common):
    """The main job: pretrain, measure the gap, adapt, check, report."""

    config: main_job.RunConfig = field(default_factory=main_job.RunConfig)
    resume: bool = False
    """Go on with an interrupted run in the same folder."""

    def work(self) -> None:
        """Run everything."""
        main_job.run(self.config, self.folder(), self.seed, self.resume, self.overwrite)


@dataclass(frozen=True)
class Pretrain(Common):
    """Source policy -> bundle."""

    env: str = "simreal/PandaReach-v0"
    """Gymnasium id."""
    source: str = "source"
    """Domain to pretrain in: a name or a YAML file."""
    recipe: Literal["distill", "rl"] = "distill"
    """`distill`: PPO teacher, then a vision student; `rl`: PPO or SAC on the image itself."""
    algorithm: Literal["ppo", "sac"] = "ppo"
    """For `--recipe rl`."""
    augment: Augment = "domain"
    """For `--recipe distill`, what is done to images: `none` shows one appearance, `domain` the source
    domain's, the others more than that."""
    preset: Preset = "default"
    """How much work."""
    resume: bool = False
    """Go on with an interrupted run in the same folder."""

    def work(self) -> dict[str, Any]:
        """Pretrain."""
        sizes = PRESETS[self.preset]
        rl = dataclasses.replace(sizes.rl, algorithm=self.algorithm)
        distill = dataclasses.replace(sizes.distill, augment=self.augment)
        config = PretrainConfig(self.env, self.source, self.recipe, sizes.teacher, distill, rl)
        if self.overwrite:
            main_job.clear(self.folder())
        result = pretrain(config, self.folder(), self.seed, self.resume)
        say(f"bundle: {result.policy}")
        return {"policy": result.policy, "teacher": result.teacher}


@dataclass(frozen=True, kw_only=True)
class Import(Common):
    """A stable-baselines3 zip trained elsewhere -> bundle in OUT/policy; no code in it is run."""

    zip: Path
    """What `model.save` wrote: PPO, A2C, SAC, TD3 or DDPG with a stock policy."""
    env: str
    """Gymnasium id it was trained in, `module:id` if a module registers it, or `module:function`."""
    normalize: Path | None = None
    """What `VecNormalize.save` wrote; needed if the model was trained behind one."""
    control_period: float | None = None
    """Seconds between two actions, where the environment does not tell."""
    products: ClassVar[tuple[str, ...]] = ("policy",)

    def work(self) -> dict[str, Any]:
        """Import."""
        bundle = import_policy(self.zip, self.env, self.normalize, self.control_period, self.seed)
        path = bundle.save(self.folder() / "policy", overwrite=self.overwrite)
        say(f"bundle: {path}")
        return {"policy": path}
