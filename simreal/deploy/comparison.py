"""What a policy would have done beside what the operator did: rows, their table, and figures of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from policies import BundleManifest
from simreal.deploy.deciding import Choice
from simreal.deploy.drift import DriftWatch
from simreal.deploy.robot_side import Seen
from simreal.errors import SimrealError

Vector = NDArray[np.float64]
_STILL_SHARE = 0.05  # of a full action: below it nobody means a direction
_STILL_RAD = 0.005


@dataclass(frozen=True, eq=False)
class Did:
    """What was done at one observation."""

    action: Vector
    """(A,), 1 for one scale."""
    joints_rad: Vector
    """(n,), displacement of the joints."""


@dataclass(frozen=True, eq=False)
class _Row:
    episode: int
    time_s: float
    policy_action: Vector
    operator_action: Vector
    policy_joints_rad: Vector
    operator_joints_rad: Vector
    drift: float


class Comparison:
    """Collects observations at which a policy was asked, with what the operator did at them."""

    def __init__(self, manifest: BundleManifest, joint_names: tuple[str, ...]) -> None:
        self._names, self._joint_names = manifest.action.order, joint_names
        self._scale = np.asarray(manifest.action.scale)
        self._rows: list[_Row] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, episode: int, seen: Seen, choice: Choice, operator: Did) -> None:
        """Add one observation.

        Args:
            episode: Which one it belongs to.
            seen: The observation.
            choice: What the policy would have done.
            operator: What the operator did.
        """
        self._rows.append(_Row(
            episode, seen.time_s, choice.action * self._scale, operator.action * self._scale,
            choice.targets_rad - seen.joints_rad, operator.joints_rad, choice.drift,
        ))  # fmt: skip

    def write(self, path: Path) -> Path:
        """Write every row as parquet; actions in the manifest's units, joints in rad.

        Raises:
            SimrealError: if there is no row.
        """
        if not self._rows:
            raise SimrealError("nothing to compare: no two successive observations that are good")
        columns: dict[str, pa.Array] = {}
        for name in _Row.__dataclass_fields__:
            values = self._column(name)
            if values.ndim == 2:
                flat = pa.array(np.ascontiguousarray(values).ravel())
                columns[name] = pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
            else:
                columns[name] = pa.array(values)
        scratch = path.with_name(f".{path.name}")
        names = {b"action": ",".join(self._names), b"joints": ",".join(self._joint_names)}
        pq.write_table(pa.table(columns).replace_schema_metadata(names), scratch)
        return scratch.replace(path)

    def summary(self) -> dict[str, Any]:
        """Return figures: errors and directions per element of the action and per joint, and the drift.

        An error is the policy's minus the operator's: percentiles of its size, and its mean as `bias`.
        `same_direction` is the share of observations at which both went the same way, of those (`moving`) at
        which both meant to go (more than 5% of a full action, or 0.005 rad); None if there are none.
        """
        policy, operator = self._column("policy_action"), self._column("operator_action")
        joints = self._column("policy_joints_rad"), self._column("operator_joints_rad")
        both = np.linalg.norm(policy, axis=1) * np.linalg.norm(operator, axis=1)
        cosines = (policy * operator).sum(axis=1)[both > 0] / both[both > 0]
        return {
            "observations": len(self._rows),
            "episodes": len({row.episode for row in self._rows}),
            "cosine": float(cosines.mean()) if len(cosines) else None,
            "action": _figures(self._names, policy, operator, _STILL_SHARE * self._scale),
            "joints": _figures(self._joint_names, *joints, np.full(len(self._joint_names), _STILL_RAD)),
            "drift": _drift(self._column("drift")),
        }

    def _column(self, name: str) -> NDArray[Any]:
        return np.array([getattr(row, name) for row in self._rows])


def _figures(names: tuple[str, ...], policy: Vector, operator: Vector, still: Vector) -> list[dict[str, Any]]:
    rows = []
    for i, name in enumerate(names):
        error = policy[:, i] - operator[:, i]
        p50, p90, p99 = np.percentile(np.abs(error), (50, 90, 99))
        moving = (np.abs(policy[:, i]) > still[i]) & (np.abs(operator[:, i]) > still[i])
        same = np.sign(policy[moving, i]) == np.sign(operator[moving, i])
        rows.append({
            "name": name, "error_p50": float(p50), "error_p90": float(p90), "error_p99": float(p99),
            "bias": float(error.mean()), "moving": int(moving.sum()),
            "same_direction": float(same.mean()) if len(same) else None,
        })  # fmt: skip
    return rows


def _drift(values: Vector) -> dict[str, float] | None:
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    p50, p99 = np.percentile(known, (50, 99))
    return {
        "p50": float(p50),
        "p99": float(p99),
        "above_threshold": float((known > DriftWatch.threshold).mean()),
    }
