"""Pretraining: a teacher on privileged state, distilled into a vision student; or RL on images."""

from simreal.pretrain.run import PretrainConfig, PretrainResult, run

__all__ = ["PretrainConfig", "PretrainResult", "run"]
