"""`Domain`: a named distribution over `WorldParameters`, read from YAML. No physics here."""

import dataclasses
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from envs.distributions import Distribution, parse
from envs.errors import DomainError, suggestion
from envs.parameters import FIELDS, GROUPS, WorldParameters, world_from_values

DOMAIN_FOLDER = Path(__file__).parent / "domains"
FAMILIES = ("appearance", "sensing", "dynamics", "combined")
DEFAULT_SEVERITY = 3
_HEADER_KEYS = ("name", "extends", "family", "description", "inert_for", "severities")


@dataclass(frozen=True)
class Domain:
    """A distribution over worlds: the wide source, the nominal point and every target alike."""

    name: str
    severity: int
    """0 (nominal) to 5; where a domain has no degrees, 0 for the base domains and 3 for a target."""
    family: str = ""
    """One of `FAMILIES`, or empty for a base domain or a user's own."""
    description: str = ""
    inert_for: tuple[str, ...] = ()
    """Tasks on which it has no measurable effect, even at severity 5: `scripts/suite_table.py` measures."""
    distributions: Mapping[str, Distribution] = dataclasses.field(default_factory=dict)
    """Dotted parameter name -> distribution; names left out are nominal."""

    def __post_init__(self) -> None:
        # Drawn in this order: two files that say the same in another order are the same domain.
        object.__setattr__(self, "distributions", dict(sorted(self.distributions.items())))

    @property
    def label(self) -> str:
        """`name@severity`, or the name alone for a domain at severity 0."""
        return f"{self.name}@{self.severity}" if self.severity else self.name

    def sample(self, rng: np.random.Generator) -> WorldParameters:
        """Draw one world."""
        columns = self.sample_columns(rng, 1)
        return world_from_values({key: _scalar(key, column[0]) for key, column in columns.items()})

    def sample_columns(
        self, rng: np.random.Generator, count: int, group: str | None = None
    ) -> dict[str, NDArray[Any]]:
        """Draw `count` worlds as columns: dotted name -> array (count,) or (count, n).

        Args:
            rng: The only source of randomness.
            count: Number of worlds.
            group: Only the parameters of this group (`appearance`, ...), or all.
        """
        return {
            key: distribution.sample(rng, count)
            for key, distribution in self.distributions.items()
            if group is None or key.startswith(f"{group}.")
        }

    def to_plain(self) -> dict[str, Any]:
        """Return nested plain values in the notation of a domain file."""
        plain: dict[str, Any] = {"name": self.name, "severity": self.severity}
        for key, distribution in self.distributions.items():
            group, name = key.split(".")
            plain.setdefault(group, {})[name] = distribution.to_plain()
        return plain

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Domain":
        """Return the domain that `to_plain` described, whatever has become of its file since.

        Raises:
            DomainError: naming the key that cannot be.
        """
        groups = {key: value for key, value in plain.items() if key not in ("name", "severity")}
        distributions = _distributions(groups, f"domain {plain['name']}")
        return cls(plain["name"], plain["severity"], distributions=distributions)


def _scalar(key: str, value: Any) -> Any:
    default: Any = FIELDS[key].default
    return tuple(float(v) for v in value) if isinstance(default, tuple) else type(default)(value)


@functools.cache
def domain_names() -> tuple[str, ...]:
    """Return the names of the domains that ship with the package."""
    return tuple(sorted(path.stem for path in DOMAIN_FOLDER.glob("*.yaml")))


def suite(severity: int = DEFAULT_SEVERITY, families: tuple[str, ...] = FAMILIES) -> list[Domain]:
    """Return the target suite at one severity, ordered by family and name."""
    domains = [load_domain(f"{name}@{severity}") for name in _suite_names()]
    return sorted(
        (domain for domain in domains if domain.family in families),
        key=lambda domain: (FAMILIES.index(domain.family), domain.name),
    )


@functools.cache
def _suite_names() -> tuple[str, ...]:
    return tuple(name for name in domain_names() if _read(DOMAIN_FOLDER / f"{name}.yaml").get("family"))


def load_domain(target: "str | Path | Domain") -> Domain:
    """Return a domain from a name (`dim-lab`), a name with severity (`camera-shift@3`) or a YAML file.

    Raises:
        DomainError: naming file, key, value and the nearest valid name.
    """
    if isinstance(target, Domain):
        return target
    text, severity = _split_severity(str(target))
    if text.endswith((".yaml", ".yml")):
        path = Path(text)
        if not path.is_file():
            raise DomainError(f"no domain file {text!r}")
    else:
        path = DOMAIN_FOLDER / f"{text}.yaml"
        if text not in domain_names():
            raise DomainError(f"no domain named {text!r}; {suggestion(text, domain_names())}")
    return _load(path, severity, ())


def _split_severity(text: str) -> tuple[str, int | None]:
    match = re.fullmatch(r"(.+)@([^@/]*)", text)
    if not match:
        return text, None
    if match[2] not in ("0", "1", "2", "3", "4", "5"):
        raise DomainError(f"{text!r}: severity {match[2]!r} must be a whole number from 0 to 5")
    return match[1], int(match[2])


def _load(path: Path, severity: int | None, children: tuple[Path, ...]) -> Domain:
    if path.resolve() in children:
        raise DomainError(f"{path}: extends itself")
    raw = _read(path)
    base = _base(path, raw.get("extends"), (*children, path.resolve()))
    own = dict(base.distributions) | _distributions(raw, str(path))
    degrees = _degrees(raw, path)
    if severity is None:
        severity = DEFAULT_SEVERITY if degrees or path.stem not in ("nominal", "source") else 0
    elif severity and not degrees and severity != base.severity:
        raise DomainError(f"{path}: has no severities, so there is no {raw['name']}@{severity}")
    if severity and degrees:
        own |= _distributions(degrees[severity], f"{path}: severities: {severity}")
    if severity == 0 and degrees:
        own = dict(base.distributions)
    family = raw.get("family", "")
    inert = tuple(raw.get("inert_for", ()))
    return Domain(raw["name"], severity, family, raw.get("description", ""), inert, own)


def _base(path: Path, extends: Any, children: tuple[Path, ...]) -> Domain:
    if extends is None:
        return Domain("defaults", 0)
    text, severity = _split_severity(str(extends))
    relative = path.parent / text
    if relative.suffix in (".yaml", ".yml"):
        if not relative.is_file():
            raise DomainError(f"{path}: extends: no domain file {text!r}")
        return _load(relative, severity, children)
    if text not in domain_names():
        raise DomainError(f"{path}: extends: no domain named {text!r}; {suggestion(text, domain_names())}")
    return _load(DOMAIN_FOLDER / f"{text}.yaml", severity, children)


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise DomainError(f"{path}: not readable as YAML: {reason}") from None
    if not isinstance(raw, dict):
        raise DomainError(f"{path}: a domain file is a mapping with at least a name")
    valid = (*_HEADER_KEYS, *GROUPS)
    for key in raw:
        if key not in valid:
            raise DomainError(f"{path}: unknown key {key!r}; {suggestion(key, valid)}")
    if not isinstance(raw.get("name"), str):
        raise DomainError(f"{path}: name: takes a word, not {raw.get('name')!r}")
    inert = raw.get("inert_for", [])
    if not isinstance(inert, list) or not all(isinstance(task, str) for task in inert):
        raise DomainError(f"{path}: inert_for: takes a list of tasks, such as [reach], not {inert!r}")
    if raw.get("family", FAMILIES[0]) not in FAMILIES:
        raise DomainError(f"{path}: family: {raw['family']!r}; {suggestion(raw['family'], FAMILIES)}")
    return raw


def _degrees(raw: dict[str, Any], path: Path) -> dict[int, Any]:
    degrees = raw.get("severities") or {}
    if not isinstance(degrees, dict) or (degrees and set(degrees) != {1, 2, 3, 4, 5}):
        raise DomainError(f"{path}: severities: needs exactly the keys 1, 2, 3, 4 and 5")
    # Every degree is checked, not only the one asked for: a typo must not wait for its severity.
    for severity, values in degrees.items():
        _distributions(values, f"{path}: severities: {severity}")
    return degrees


def _distributions(raw: Any, where: str) -> dict[str, Distribution]:
    """Read the parameter groups of a domain file, or of one severity."""
    if not isinstance(raw, dict):
        raise DomainError(f"{where}: takes parameter groups ({', '.join(GROUPS)}), not {raw!r}")
    found: dict[str, Distribution] = {}
    for group, values in raw.items():
        if group in _HEADER_KEYS and "severities" not in where:
            continue
        if group not in GROUPS:
            raise DomainError(f"{where}: unknown key {group!r}; {suggestion(group, GROUPS)}")
        if not isinstance(values, dict):
            raise DomainError(f"{where}: {group}: takes a mapping of parameters, not {values!r}")
        for name, value in values.items():
            key = f"{group}.{name}"
            if key not in FIELDS:
                names = [item.removeprefix(f"{group}.") for item in FIELDS if item.startswith(group)]
                raise DomainError(f"{where}: {group}: unknown key {name!r}; {suggestion(name, names)}")
            found[key] = parse(key, value, where)
    return found
