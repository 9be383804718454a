"""What is trained and shipped: encoder, head, the same as an SB3 policy, and the bundle file."""

from policies.bundle import BundleError, BundleManifest, PolicyBundle
from policies.encoders import EncoderConfig
from policies.heads import HeadConfig
from policies.policy import Policy, PolicyConfig
from policies.spec import ActionSpec, ObservationSpec

__all__ = [
    "ActionSpec",
    "BundleError",
    "BundleManifest",
    "EncoderConfig",
    "HeadConfig",
    "ObservationSpec",
    "Policy",
    "PolicyBundle",
    "PolicyConfig",
]
