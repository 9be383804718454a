"""A student that no longer sees is refused while it trains."""

from pathlib import Path

import pytest
import torch

import envs
from simreal.bundles import load_bundle
from simreal.pretrain.distill import BlindStudentError, Distillation, DistillConfig

CONFIG = DistillConfig(frames=(96,), updates=(2,), batch_size=16, checkpoint_every=1)


@pytest.mark.parametrize("dead", [False, True])
def test_a_student_whose_convolution_has_died_is_refused(smoke_run: Path, tmp_path: Path, dead: bool) -> None:
    teacher = load_bundle(smoke_run / "teacher").policy
    source = envs.load_domain("source")
    distillation = Distillation("simreal/PandaReach-v0", source, teacher, 0, CONFIG, tmp_path)
    if dead:
        with torch.no_grad():
            distillation.learner.policy.encoder.convolutions[2].bias.fill_(-100.0)
        with pytest.raises(BlindStudentError, match=r"went blind by update 2: .* another --seed"):
            list(distillation.run())
        assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["round"] == 0
        distillation.resume()
        with pytest.raises(BlindStudentError):  # nor does it pass by going on
            list(distillation.run())
    else:
        assert len(list(distillation.run())) == 2
