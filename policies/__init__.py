"""What is trained and shipped: encoder, head, the same as an SB3 policy, and the bundle file."""

from policies.encoders import EncoderConfig
from policies.heads import HeadConfig
from policies.policy import Policy, PolicyConfig

__all__ = ["EncoderConfig", "HeadConfig", "Policy", "PolicyConfig"]
