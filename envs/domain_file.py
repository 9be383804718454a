"""Domain files as YAML: read by the safe loader, and refused in one line with what would be right."""

import re
from pathlib import Path
from typing import Any

import yaml

from envs.errors import DomainError, shown, suggestion
from envs.parameters import FIELDS, GROUPS

FAMILIES = ("appearance", "sensing", "dynamics", "combined")
HEADER_KEYS = ("name", "extends", "family", "description", "inert_for", "severities")
SEVERITIES = (1, 2, 3, 4, 5)


class UniqueKeyLoader(yaml.SafeLoader):
    """The safe loader, but 1e-3 is a number, and a key given twice an error: the first would be lost."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Return the mapping, or refuse it."""
        node = super().compose_mapping_node(anchor)
        seen: set[Any] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in seen:
                raise yaml.composer.ComposerError(
                    None, None, f"the key {key.value!r} is given twice", key.start_mark
                )
            seen.add((key.tag, key.value) if isinstance(key, yaml.ScalarNode) else None)
        return node


# YAML 1.1 reads 1e-3 as text for want of a dot; in YAML 1.2 it is a number.
UniqueKeyLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read(path: Path) -> dict[str, Any]:
    """Return a domain file's content: known keys only, its header checked.

    Raises:
        DomainError: naming file, key, value and what would be right.
    """
    raw = _parse(path)
    if not isinstance(raw, dict):
        found = "nothing" if raw is None else shown(raw)
        raise DomainError(f"{path}: a domain file is a mapping with at least a name, not {found}")
    for key in raw:
        if key not in (*HEADER_KEYS, *GROUPS):
            raise DomainError(f"{path}: {unknown_key(key, (*HEADER_KEYS, *GROUPS))}")
    _check_header(raw, path)
    return raw


def unknown_key(key: Any, valid: tuple[str, ...]) -> str:
    """Say that a key is unknown, and where it belongs or which is nearest."""
    homes = [group for group in GROUPS if f"{group}.{key}" in FIELDS]
    hint = f"it belongs to {homes[0]}" if homes else suggestion(key, valid)
    return f"unknown key {shown(key)}; {hint}"


def _parse(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8-sig"), UniqueKeyLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        tabs = " (indent with spaces)" if "'\\t'" in str(error.problem) else ""
        reason = f"{line}{error.problem}{tabs}"
    except RecursionError:
        reason = "nested too deeply"
    except OSError as error:
        raise DomainError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError) as error:  # a ValueError: no UTF-8, or a number without end
        reason = str(error)
    raise DomainError(f"{path}: not readable as YAML: {' '.join(reason.split())}")


def _check_header(raw: dict[str, Any], path: Path) -> None:
    if "name" not in raw:
        raise DomainError(f"{path}: name: missing; a domain file needs one, such as name: my-lab")
    if not isinstance(raw["name"], str) or not re.fullmatch(r"\w[\w .+-]*", raw["name"]):
        raise DomainError(f"{path}: name: takes a word such as my-lab, not {shown(raw['name'])}")
    inert = raw.get("inert_for")
    if inert is not None and not (isinstance(inert, list) and all(isinstance(task, str) for task in inert)):
        raise DomainError(f"{path}: inert_for: takes a list of tasks, such as [reach], not {shown(inert)}")
    family = raw.get("family")
    if family is not None and family not in FAMILIES:
        raise DomainError(f"{path}: family: {shown(family)} is not known; {suggestion(family, FAMILIES)}")
    for key in ("description", "extends"):
        value = raw.get(key)
        if value is not None and (not isinstance(value, str) or (key == "extends" and not value)):
            wanted = "a text" if key == "description" else "the name of one domain, or of one YAML file"
            raise DomainError(f"{path}: {key}: takes {wanted}, not {shown(value)}")
    degrees = raw.get("severities")
    if degrees is None or degrees == {}:
        return
    if not isinstance(degrees, dict) or set(degrees) != set(SEVERITIES):
        found = ", ".join(map(shown, degrees)) if isinstance(degrees, dict) else shown(degrees)
        raise DomainError(f"{path}: severities: needs exactly the keys 1, 2, 3, 4 and 5, not {found}")
