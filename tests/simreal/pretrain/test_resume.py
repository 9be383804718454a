"""Ctrl-C in the middle of real trainings, in processes of their own, and what is left of them."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from policies import Policy, PolicyBundle
from simreal.pretrain import PretrainConfig, run
from simreal.pretrain.distill import DistillConfig
from simreal.pretrain.reinforce import ReinforceConfig
from simreal.pretrain.teacher import TeacherConfig

TEACHER = TeacherConfig(steps=2048, rollout_steps=128, checkpoint_every=512)
SMALL = {
    "student": PretrainConfig(
        teacher=TEACHER, distill=DistillConfig((200, 100), (40, 20), 32, 2e-4, checkpoint_every=10)
    ),
    "ppo": PretrainConfig(
        recipe="rl",
        rl=ReinforceConfig(steps=1024, environments=2, rollout_steps=64, batch_size=64, checkpoint_every=256),
    ),
    "sac": PretrainConfig(
        recipe="rl",
        rl=ReinforceConfig(
            "sac", steps=400, environments=2, batch_size=16, buffer_size=500, checkpoint_every=150
        ),
    ),
}
CHECKPOINT = {
    "student": "checkpoint.pt",
    "teacher": "teacher.pt",
    "ppo": "reinforce.pt",
    "sac": "reinforce.pt",
}
PROGRAM = """
import signal
import sys
from pathlib import Path
from simreal import workers
from tests.simreal.pretrain.test_resume import SMALL
from simreal.pretrain import run
if __name__ == "__main__":
    # Started from a background job, a process inherits that ctrl-C is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    workers.set_threads(1)
    try:
        run(SMALL[sys.argv[1]], Path(sys.argv[2]))
    except KeyboardInterrupt:
        workers.shut_down()
        sys.exit(130)
"""


def interrupt(stage: str, out: Path) -> subprocess.CompletedProcess[str]:
    """Start a pretraining in a process group of its own; send it ctrl-C at its first checkpoint."""
    program = out.with_suffix(".py")
    program.write_text(PROGRAM)
    process = subprocess.Popen(
        [sys.executable, str(program), stage, str(out)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (out / CHECKPOINT[stage]).is_file():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "no checkpoint in two minutes"
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the group
    printed = process.communicate(timeout=60)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and _alive(process.pid):
        time.sleep(0.1)
    assert not _alive(process.pid), "a worker outlived the interruption"
    return subprocess.CompletedProcess(stage, process.returncode, *printed)


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("stage", SMALL)
def test_ctrl_c_loses_nothing(stage: str, tmp_path: Path) -> None:
    out = tmp_path / "p"
    stopped = interrupt(stage, out)
    assert stopped.returncode == 130, stopped.stderr
    assert "goes on with --resume" in stopped.stderr
    # Python tells of a ctrl-C that met a destructor; it is raised again, so the code is 130 all the same.
    assert "Traceback" not in stopped.stderr.partition("Exception ignored in")[0]
    PolicyBundle.load(out / "policy")
    result = run(SMALL[stage], out, resume=True)
    policy = PolicyBundle.load(result.policy).policy
    if stage == "student":
        whole = tmp_path / "whole"
        whole.mkdir()
        shutil.copytree(out / "teacher", whole / "teacher")  # the same expert
        shutil.copy(out / "config.json", whole)
        theirs = PolicyBundle.load(run(SMALL[stage], whole, resume=True).policy).policy
        assert distance(policy, theirs) < 2e-3  # a lost batch: 4e-3; lost moments of Adam: 1e-2


def distance(policy: Policy, other: Policy) -> float:
    """Return how far apart two policies are, relative to how far the first is from its start.

    Every batch is the same whenever it is made, so an interruption changes no weight but by rounding,
    which some processors' libraries let depend on where an array lies in memory.
    """
    torch.manual_seed(0)
    first, second, start = (
        np.concatenate([value.ravel() for value in each.to_arrays().values()])
        for each in (policy, other, Policy(policy.config))
    )
    return float(np.linalg.norm(first - second) / np.linalg.norm(first - start))
