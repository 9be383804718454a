"""`Domain`: a named distribution over `WorldParameters`, read from YAML. No physics here."""

import dataclasses
import functools
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.distributions import Distribution, parse
from envs.domain_file import FAMILIES, read, unknown_key
from envs.errors import DomainError, shown, suggestion
from envs.parameters import FIELDS, GROUPS, WorldParameters, world_from_values

DOMAIN_FOLDER = Path(__file__).parent / "domains"
DEFAULT_SEVERITY = 3
_BASES = tuple(DOMAIN_FOLDER / f"{name}.yaml" for name in ("nominal", "source"))
_SUFFIXES = (".yaml", ".yml")


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
        for key in ("name", "severity"):
            if key not in plain:
                raise DomainError(f"a recorded domain has no {key!r}: {shown(dict(plain))}")
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
    return tuple(name for name in domain_names() if read(DOMAIN_FOLDER / f"{name}.yaml").get("family"))


def load_domain(target: "str | Path | Domain") -> Domain:
    """Return a domain from a name (`dim-lab`), a name with severity (`camera-shift@3`) or a YAML file.

    Raises:
        DomainError: naming file, key, value and the nearest valid name.
    """
    if isinstance(target, Domain):
        return target
    text, severity = _split_severity(str(target))
    return _load(_find(text, Path(), ""), severity, ())


def _find(text: str, folder: Path, where: str) -> Path:
    """Return the file of a domain: by its name, or by a path from `folder`."""
    path = folder / text
    if path.suffix.lower() in _SUFFIXES:
        if not os.path.isfile(path):  # False, not an error, also for names that no file can have
            kind = "is a folder, not a domain file" if os.path.isdir(path) else "no such domain file"
            raise DomainError(f"{where}{text!r}: {kind}")
        return path
    if text in domain_names():
        return DOMAIN_FOLDER / f"{text}.yaml"
    if text and os.path.exists(path):
        raise DomainError(f"{where}{text!r}: a domain file is a file whose name ends in .yaml or .yml")
    raise DomainError(f"{where}no domain named {text!r}; {suggestion(text, domain_names())}")


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
    raw = read(path)
    base = _base(path, raw.get("extends"), (*children, path.resolve()))
    own = dict(base.distributions) | _distributions(
        {key: raw[key] for key in raw if key in GROUPS}, str(path)
    )
    # Every degree is checked, not only the one asked for: a typo must not wait for its severity.
    degrees = {
        degree: _distributions(values, f"{path}: severities: {degree}")
        for degree, values in (raw.get("severities") or {}).items()
    }
    only = 0 if path in _BASES else DEFAULT_SEVERITY
    severity = only if severity is None else severity
    if not degrees and severity != only:
        raise DomainError(
            f"{path}: has no severities, so there is no {raw['name']}@{severity}, only {raw['name']}@{only}"
        )
    if degrees:
        own = own | degrees[severity] if severity else dict(base.distributions)
    texts = (raw.get("family") or "", raw.get("description") or "")
    return Domain(raw["name"], severity, *texts, tuple(raw.get("inert_for") or ()), own)


def _base(path: Path, extends: str | None, children: tuple[Path, ...]) -> Domain:
    if extends is None:
        return Domain("defaults", 0)
    where = f"{path}: extends: "
    try:
        text, severity = _split_severity(extends)
    except DomainError as error:
        raise DomainError(f"{where}{error}") from None
    return _load(_find(text, path.parent, where), severity, children)


def _distributions(raw: Any, where: str) -> dict[str, Distribution]:
    """Read parameter groups; one without parameters changes nothing."""
    if not isinstance(raw, dict | None):
        raise DomainError(f"{where}: takes parameter groups ({', '.join(GROUPS)}), not {shown(raw)}")
    found: dict[str, Distribution] = {}
    for group, values in (raw or {}).items():
        if group not in GROUPS:
            raise DomainError(f"{where}: {unknown_key(group, tuple(GROUPS))}")
        if not isinstance(values, dict | None):
            raise DomainError(f"{where}: {group}: takes a mapping of parameters, not {shown(values)}")
        names = tuple(field.name for field in dataclasses.fields(GROUPS[group]))
        for name, value in (values or {}).items():
            if name not in names:
                raise DomainError(f"{where}: {group}: {unknown_key(name, names)}")
            found[f"{group}.{name}"] = parse(f"{group}.{name}", value, where)
    return found
