"""`report`: run folder -> one self-contained HTML page."""

import json
from pathlib import Path
from statistics import fmean
from typing import Any

import gymnasium
from jinja2 import Environment, PackageLoader

from policies import PolicyBundle
from simreal.bundles import load_bundle, source_domain
from simreal.check.spending import amount
from simreal.errors import SimrealError
from simreal.files import atomic_write_text
from simreal.report import study_page
from simreal.report.numbers import UNKNOWN, saved
from simreal.report.pictures import clip, data_uri, policy_view, strip
from simreal.report.plots import gap_plot, seeds_plot
from simreal.targets import Target

_WHAT_IT_GOT = {
    "zero-shot": "nothing: the source policy as it is",
    "target-only": "the demonstrations, from fresh weights, until converged",
    "target-only-equal-updates": "the demonstrations, from fresh weights, as many updates as the methods",
}


def build(folder: Path) -> Path:
    """Write `report.html` of a finished run, or of a study.

    Raises:
        SimrealError: if the folder holds neither.
    """
    path = folder / "result.json"
    if not path.is_file():
        raise SimrealError(f"{path}: missing: {folder} holds no finished run")
    try:
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SimrealError(f"{path}: truncated or damaged: {error}") from None
    if result.get("command") == "run":
        if lacking := [key for key in ("world", "settings") if key not in result]:
            raise SimrealError(
                f"{path}: {lacking[0]}: missing: the run is of an earlier version, so run it again"
            )
        name, values = "page.html.jinja", _values(folder, result)
    elif result.get("command") == "study":
        name, values = "study.html.jinja", study_page.values(result["study"])
    else:
        raise SimrealError(
            f"{path}: command: {result.get('command')!r}; a report is made of a 'run' or 'study'"
        )
    loader = PackageLoader("simreal.report", ".")
    page = Environment(loader=loader, autoescape=True).get_template(name).render(**values)
    return atomic_write_text(folder / "report.html", page)


def _values(folder: Path, result: dict[str, Any]) -> dict[str, Any]:
    """Return what the template `page.html.jinja` needs of a run."""
    source, adapted = load_bundle(folder / "policy"), load_bundle(folder / "adapted")
    pretraining = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return {
        "result": result,
        "check": result["check"],
        "verdict": result["check"]["comparisons"][0],
        "got": _WHAT_IT_GOT,
        "mean": fmean,
        "gap": _gap(result),
        "spent": _spent(result["check"].get("spending")),
        "manifest": source.manifest,
        "config": json.dumps({"run": result["config"], "pretrain": pretraining}, indent=1),
        "plots": {
            "gap": data_uri(gap_plot(result["evaluation"], result["target"]), "png"),
            "seeds": data_uri(seeds_plot(result["check"]["candidates"]), "png"),
        },
        "pictures": _pictures(folder, result, source, adapted),
    }


def _pictures(
    folder: Path, result: dict[str, Any], source: PolicyBundle, adapted: PolicyBundle
) -> dict[str, str]:
    """Return source and target as the policy sees them, and a clip; also kept as files."""
    env_id = source.manifest.env_id
    target = Target.from_plain(result["world"])
    env = gymnasium.make(target.env, render_mode="rgb_array")
    labels = (
        "zero-shot",
        f"{result['method']}, {result['check']['budget']['demonstrations']} demonstrations",
    )
    views = {
        "source": strip(policy_view(env, Target(env_id, source_domain(source)), 5), folder / "source.png"),
        "target": strip(policy_view(env, target, 5), folder / "target.png"),
    }
    film = clip(env, target, source.policy, adapted.policy, labels)
    (folder / "clip.webp").write_bytes(film)
    env.close()
    uris = {name: data_uri(data, "png") for name, data in views.items()}
    return uris | {"clip": data_uri(film, "webp")}


def _spent(spending: dict[str, Any] | None) -> list[dict[str, str]]:
    """Return what each candidate took and saved, as text; nothing of a run from before that was kept."""
    if spending is None:
        return []
    rows = []
    for name, spent in spending["spent"].items():
        row = {"name": name, **{unit: amount(spent[unit]) for unit in ("seconds", "steps")}}
        for unit, found in spending["saved"].get(name, {}).items():
            row[f"saved_{unit}"] = alone = saved(found["target_only_counts"])
            if found["source_counts"] and alone != UNKNOWN:
                row[f"paid_{unit}"] = saved(found["source_counts"])
        rows.append(row)
    return rows


def _gap(result: dict[str, Any]) -> dict[str, float]:
    """Return what the first screen says: the target's success before and after, and nominal."""
    success = result["check"]["candidates"]
    nominal = next(row for row in result["evaluation"] if row["domain"] == "nominal")
    means = {name: fmean(rates) for name, rates in success.items()}
    return {
        "nominal": nominal["success_rate"],
        "before": means["zero-shot"],
        "after": means[result["method"]],
        "target_only": means["target-only"],
    }
