"""Targets: a named domain, a domain file, a Gymnasium id or `module:id`, or a factory `module:function`."""

import functools
import importlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium

import envs
from envs import Domain, DomainError
from policies import BundleManifest
from simreal.errors import SimrealError
from simreal.foreign import adapted

Env = gymnasium.Env[Any, Any]


@dataclass(frozen=True)
class Target:
    """A world to work in: which environment, and which domain of it if it has domains."""

    env: str
    """A Gymnasium id, or `module:function` of a factory."""
    domain: Domain | None

    @property
    def name(self) -> str:
        """Return the name that results are reported under."""
        return self.domain.name if self.domain else self.env

    @property
    def severity(self) -> int:
        """Return the severity, 0 where there are no degrees."""
        return self.domain.severity if self.domain else 0

    @property
    def label(self) -> str:
        """Return the name with its severity, if it has one."""
        return self.domain.label if self.domain else self.env

    def open(self, image: bool = True, privileged: bool = False) -> Env:
        """Return this process's environment of the target; reset it with `options`."""
        return _cached_env(self.env, self.domain is not None, image, privileged)

    @property
    def options(self) -> dict[str, Any] | None:
        """Return the options for `reset` that put the environment into the target's domain."""
        return {"domain": self.domain} if self.domain else None

    def to_plain(self) -> dict[str, Any]:
        """Return plain values from which `from_plain` makes the target, whatever becomes of a domain file."""
        return {"env": self.env, "domain": self.domain.to_plain() if self.domain else None}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Target":
        """Return the target that `to_plain` described."""
        domain = plain["domain"]
        return cls(plain["env"], None if domain is None else Domain.from_plain(domain))


def label_of(name: str, severity: int) -> str:
    """Return `name@severity`, or the name alone where there are no degrees, as `Target.label` has it."""
    return f"{name}@{severity}" if severity else name


def parse_target(text: str, env_id: str) -> Target:
    """Return the target that a user named; domains are domains of `env_id`.

    Raises:
        SimrealError: if nothing of that name exists.
    """
    if text in gymnasium.registry:
        return Target(text, load_named("nominal") if text in envs.ENV_IDS else None)
    if re.fullmatch(r"[\w.]+:[\w./-]+", text):
        return Target(text, None)
    return Target(env_id, load_named(text))


def expand(names: Iterable[str], severities: Iterable[int], env_id: str) -> Iterator[Target]:
    """Return the targets of names; `suite` is every graded domain.

    Args:
        names: As a user gives them.
        severities: Of those domains that have several and name none.
        env_id: Domains are domains of it.

    Raises:
        SimrealError: if something does not exist.
    """
    severities = tuple(severities)
    try:
        suite = [domain for severity in severities for domain in envs.suite(severity)]
    except DomainError as error:
        raise SimrealError(str(error)) from None
    graded = {domain.name for domain in suite}
    for name in names:
        if name == "suite":
            yield from (Target(env_id, domain) for domain in suite)
        elif name in graded:
            yield from (parse_target(f"{name}@{severity}", env_id) for severity in severities)
        else:
            yield parse_target(name, env_id)


def load_named(text: str) -> Domain:
    """Return a domain by name or file, with the user's kind of error."""
    try:
        return envs.load_domain(text)
    except DomainError as error:
        raise SimrealError(str(error)) from None


def check_spaces(target: Target, manifest: BundleManifest) -> None:
    """Refuse a target whose spaces are not those of a bundle.

    Raises:
        SimrealError: with both spaces side by side.
    """
    env = target.open()
    spaces = getattr(env.observation_space, "spaces", {})
    for spec in manifest.observations:
        space = spaces.get(spec.name)
        if space is None or space.shape != spec.shape or str(space.dtype) != spec.dtype:
            found = "nothing" if space is None else f"{space.dtype}{space.shape}"
            raise SimrealError(
                f"{target.label}: observation {spec.name!r}: the bundle reads "
                f"{spec.dtype}{spec.shape}, the target gives {found}"
            )
    if env.action_space.shape != manifest.action.shape:
        raise SimrealError(
            f"{target.label}: action: the bundle gives {manifest.action.shape}, "
            f"the target takes {env.action_space.shape}"
        )
    period = getattr(env.unwrapped, "control_period_s", manifest.control_period_s)
    if abs(period - manifest.control_period_s) > 1e-9:
        raise SimrealError(
            f"{target.label}: control period: the bundle acts every {manifest.control_period_s} s, "
            f"the target every {period} s"
        )


def make(name: str) -> Env:
    """Make an environment by Gymnasium id, `module:id` (the module registers it), or factory.

    Raises:
        SimrealError: if nothing of that name exists.
    """
    module, _, function = name.rpartition(":")
    try:
        if not module or not function.isidentifier():
            return gymnasium.make(name)
        return getattr(importlib.import_module(module), function)()
    except (ImportError, AttributeError, gymnasium.error.Error) as error:
        raise SimrealError(f"target {name!r}: {' '.join(str(error).split())}") from None


@functools.lru_cache(maxsize=4)
def _cached_env(name: str, has_domains: bool, image: bool, privileged: bool) -> Env:
    if has_domains:
        return gymnasium.make(name, image=image, privileged=privileged)
    return adapted(make(name))
