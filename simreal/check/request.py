"""What a check is asked: one target, its budget, and who competes for it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envs import Domain
from policies import Policy, PolicyBundle
from simreal.bundles import gripper_columns, source_domain
from simreal.presets import Sizes
from simreal.pretrain.cost import SourceCost
from simreal.targets import Target


@dataclass(frozen=True)
class CheckRequest:
    """One target, its budget, and who competes for it."""

    target: Target
    source_policy: Policy
    teacher: Policy
    """Records the demonstrations."""
    source_data: Path | None
    source_domain: Domain
    methods: tuple[str, ...]
    """The first is the primary candidate, compared with target-only, or with zero-shot if it does not learn
    from demonstrations; `cotrain#2` is a second copy of `cotrain`, trained independently on the same ones and
    compared with the first."""
    demos: int
    seeds: int
    episodes: int
    updates: int
    """Gradient updates of every method, and of target-only at equal updates."""
    most_updates: int
    """Most updates of target-only."""
    seed: int
    frames: int = 0
    """Unlabelled frames for each training seed, recorded by the source policy as it fails or succeeds."""
    gripper: tuple[int, ...] = ()
    """Which elements of the proprioception are the gripper's position."""
    sequential: bool = False
    """Look on the way, and stop when the primary verdict is settled; `seeds` is then the most."""
    source_cost: SourceCost | None = None
    """What the source policy took, where somebody knows."""

    @classmethod
    def of(
        cls,
        bundle: PolicyBundle,
        teacher: Policy,
        target: Target,
        methods: tuple[str, ...],
        sizes: Sizes,
        *,
        run: Path | None,
        demos: int | None = None,
        seeds: int | None = None,
        episodes: int | None = None,
        **more: Any,
    ) -> "CheckRequest":
        """Return the request of a bundle: what nobody gives has the size of a preset.

        Args:
            bundle: The source.
            teacher: Records the demonstrations.
            target: Where.
            methods: Candidates, the primary one first.
            sizes: Of the preset.
            run: The pretraining run that has the source data; None for none.
            demos: For each training seed.
            seeds: Of training.
            episodes: Of each candidate and seed.
            more: Further fields, `seed` among them.
        """
        return cls(
            target=target,
            source_policy=bundle.policy,
            teacher=teacher,
            source_data=None if run is None else run / "source",
            source_domain=source_domain(bundle),
            methods=methods,
            demos=sizes.demos if demos is None else demos,
            seeds=sizes.seeds if seeds is None else seeds,
            episodes=sizes.check_episodes if episodes is None else episodes,
            updates=sizes.updates,
            most_updates=sizes.tuning_updates,
            gripper=gripper_columns(bundle.manifest),
            **more,
        )
