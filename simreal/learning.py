"""The one gradient loop: imitation of actions, with auxiliary labels where there are some."""

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from policies import Policy
from simreal.data.batch import Batch

AUXILIARY_WEIGHT = 0.3  # of 0.1, 0.3 and 1.0 the best closed-loop success on tuning seeds


@dataclass(frozen=True)
class LearnConfig:
    """How a policy is fitted to batches."""

    updates: int
    learning_rate: float
    warmup: int = 20
    """Updates over which the learning rate rises; then it falls to zero along a cosine."""
    average: float = 0.99
    """Decay of the running average of the weights, which is what is returned; 0 for none."""


@dataclass(frozen=True)
class Losses:
    """Losses of one update."""

    total: float
    action: float
    auxiliary: float
    terms: float = 0.0
    """Of the further terms that a method adds, together."""


@dataclass(frozen=True)
class Seen:
    """What a further loss term may look at."""

    policy: Policy
    batch: Batch
    perception: Tensor
    """(B, P) float32: what the encoder makes of the images alone."""
    feature: Tensor
    """(B, F) float32, of the batch's observations."""
    progress: float
    """Share of the updates that are done, from 0 to below 1."""


Penalty = Callable[[Policy], Tensor]
Term = Callable[[Seen], Tensor]


def _always(share: float) -> float:
    return 1.0


@dataclass(frozen=True)
class Group:
    """Parameters with a learning rate of their own."""

    parameters: tuple[nn.Parameter, ...]
    rate: Callable[[float], float] = _always
    """Share of the updates done, 0 to 1 -> factor on the learning rate; 0 leaves them alone."""


class Learner:
    """Fits a policy; can be stopped after any update and go on from its state."""

    def __init__(
        self,
        policy: Policy,
        config: LearnConfig,
        trainable: Iterable[nn.Parameter] | None = None,
        penalty: Penalty | None = None,
        terms: Sequence[Term] = (),
        helpers: Iterable[nn.Module] = (),
        groups: Iterable[Group] | None = None,
        after_step: Callable[[float], None] | None = None,
    ) -> None:
        """Prepare to train `policy` in place.

        Args:
            policy: What is trained.
            config: How.
            trainable: Parameters that change; all by default.
            penalty: Added to the loss, such as a pull towards the source weights.
            terms: Added to the loss; they see the batch and its features.
            helpers: Modules of the terms that learn too, such as a discriminator; not averaged.
            groups: Parameters with rates of their own, in place of `trainable`.
            after_step: Called after every step with its learning rate, such as a proximal step.
        """
        self.policy, self.config, self.penalty, self.terms = policy, config, penalty, tuple(terms)
        if groups is None:
            groups = [Group(tuple(policy.parameters() if trainable is None else trainable))]
        self._groups, self._after_step = list(groups), after_step
        self._parameters: list[Any] = [own for group in self._groups for own in group.parameters]
        policy.requires_grad_(False)
        self._groups += [Group(tuple(module.parameters())) for module in helpers]
        self._optimizer = torch.optim.Adam(
            [{"params": group.parameters} for group in self._groups], config.learning_rate, fused=True
        )
        self._averaged = [parameter.detach().clone() for parameter in self._parameters]
        self._bfloat16 = has_bfloat16()
        self.done = 0

    def update(self, batch: Batch) -> Losses:
        """Take one gradient step."""
        self._set_rates()
        with torch.autocast("cpu", torch.bfloat16, enabled=self._bfloat16):
            perception = self.policy.encoder.perceive(batch.observation)
            feature = self.policy.encoder.combine(perception, batch.observation)
            action = self.policy.head(feature).float()
            auxiliary_loss = self._auxiliary_loss(feature, batch)
        action_loss = _mean_square(action, batch.action)
        seen = Seen(self.policy, batch, perception.float(), feature.float(), self.done / self.config.updates)
        further = sum((term(seen) for term in self.terms), start=torch.zeros(()))
        total = action_loss + AUXILIARY_WEIGHT * auxiliary_loss + further
        if self.penalty is not None:
            total = total + self.penalty(self.policy)
        self._optimizer.zero_grad(set_to_none=True)
        total.backward()
        self._step()
        return Losses(total.item(), action_loss.item(), auxiliary_loss.item(), further.item())

    def descend(self, gradients: Mapping[str, Tensor]) -> None:
        """Take one step along gradients computed elsewhere, by the parameters' names."""
        self._set_rates()
        for name, parameter in self.policy.named_parameters():
            parameter.grad = gradients[name].detach() if parameter.requires_grad else None
        self._step()

    def averaged(self) -> Policy:
        """Return a copy of the policy with the averaged weights, ready to act."""
        policy = copy.deepcopy(self.policy).requires_grad_(True)
        names = {id(own): name for name, own in self.policy.named_parameters()}
        copies = dict(policy.named_parameters())
        with torch.no_grad():
            for own, mean in zip(self._parameters, self._averaged, strict=True):
                copies[names[id(own)]].copy_(mean)
        return policy.eval()

    def state(self) -> dict[str, object]:
        """Return everything needed to go on: optimizer, averages, count, weights."""
        return {
            "optimizer": self._optimizer.state_dict(),
            "averaged": self._averaged,
            "done": self.done,
            "policy": self.policy.state_dict(),
        }

    def load_state(self, state: dict[str, object]) -> None:
        """Go on from a `state`."""
        self._optimizer.load_state_dict(state["optimizer"])  # type: ignore[arg-type]
        self._averaged = list(state["averaged"])  # type: ignore[call-overload]
        self.done = int(state["done"])  # type: ignore[call-overload]
        self.policy.load_state_dict(state["policy"])  # type: ignore[arg-type]

    def _auxiliary_loss(self, feature: Tensor, batch: Batch) -> Tensor:
        losses = []
        for name, label in batch.auxiliary.items():
            if name in self.policy.auxiliary and bool(label.isfinite().any()):
                losses.append(_mean_square(self.policy.auxiliary[name](feature).float(), label))
        return torch.stack(losses).mean() if losses else torch.zeros(())

    def _set_rates(self) -> None:
        """Give every group the rate of this update; one at rate 0 gets no gradient, and is not moved."""
        warm = min(1.0, (self.done + 1) / self.config.warmup)
        share = self.done / self.config.updates
        self._rate = warm * (0.5 + 0.5 * math.cos(math.pi * share)) + 1e-3
        self._rate *= self.config.learning_rate
        for group, options in zip(self._groups, self._optimizer.param_groups, strict=True):
            factor = group.rate(share)
            options["lr"] = self._rate * factor
            for parameter in group.parameters:
                parameter.requires_grad_(factor > 0)

    def _step(self) -> None:
        self._optimizer.step()
        if self._after_step is not None:
            self._after_step(self._rate)
        self.done += 1
        self._average()

    def _average(self) -> None:
        decay = min(self.config.average, self.done / (self.done + 10))
        with torch.no_grad():
            torch._foreach_lerp_(self._averaged, self._parameters, 1 - decay)


def _mean_square(guess: Tensor, label: Tensor) -> Tensor:
    """Return the mean square error over the rows (B, n) that somebody knows; 0 if none."""
    known = label.isfinite().all(dim=1)
    return (guess[known] - label[known]).square().mean() if bool(known.any()) else guess.sum() * 0


def has_bfloat16() -> bool:
    """Tell whether this processor multiplies bfloat16 in tiles (AMX): without, it is slower than float32."""
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))
