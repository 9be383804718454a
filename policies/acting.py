"""`ActingPolicy`: from observations as a robot gives them to an action in its units, as one module."""

import torch
from torch import Tensor, nn

from policies.bundle import PolicyBundle


class ActingPolicy(nn.Module):
    """A bundle's policy with everything that acting takes.

    Preprocessing, normalization, head, squash, clamp to the limits and scale are all inside, so that
    nobody has to know them to use it. What torch runs in the control loop and what is exported.
    """

    scale: Tensor

    def __init__(self, bundle: PolicyBundle) -> None:
        super().__init__()
        self.policy = bundle.policy
        self.names = bundle.policy.config.observation_names
        self.low, self.high = bundle.manifest.action.low, bundle.manifest.action.high
        self.register_buffer("scale", torch.tensor(bundle.manifest.action.scale, dtype=torch.float32))

    def forward(self, *entries: Tensor) -> tuple[Tensor, Tensor]:
        """Return the action (B, A) in the manifest's units and the feature (B, F), float32.

        Args:
            entries: What the policy reads, in the order of `names`: images uint8 (B, H, W, C) from 0
                to 255, vectors float32 (B, n).
        """
        feature = self.policy.features(dict(zip(self.names, entries, strict=True)))
        action = self.policy.head.bounded(self.policy.head(feature))
        return action.clamp(self.low, self.high) * self.scale, feature
