"""Meta-transfer: before adapting to the target, learn to adapt, on a family of sampled domains."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import functional_call

from policies import Policy
from simreal.data.batch import Batch
from simreal.learning import Learner, Losses
from simreal.transfer.base import BATCH_SIZE, Method, Need, Problem, Report
from simreal.transfer.meta_gradients import (
    Loss,
    Parameters,
    imaml_gradient,
    maml_gradient,
    pulled_step,
    reptile_gradient,
)
from simreal.transfer.tasks import Tasks, source_tasks

TASKS, SUPPORT = 2, 32  # sampled domains of one meta-update; frames to adapt on, and to judge by
SHARE = 2 / 3  # of the updates that learn to adapt; the others adapt to the target
META_RATE = 5e-4


# (support, query, initial weights) of one task -> gradient of the weights, loss after adapting
Rule = Callable[[Loss, Loss, Parameters], tuple[Parameters, Tensor]]


@dataclass(frozen=True)
class Inner:
    """How a policy adapts: the same steps on a sampled domain and on the target."""

    rate: float
    names: Collection[str] | None = None
    """Which parameters move; all by default."""
    pull: float = 0.0
    """Back towards where adaptation began."""


def maml(
    problem: Problem,
    report: Report,
    *,
    tasks: Tasks | None = None,
    steps: int = 3,
    rate: float = 0.1,
    share: float = SHARE,
    meta_rate: float = META_RATE,
) -> Policy:
    r"""Learn weights from which a few gradient steps adapt to any domain of a family; then take them.

    .. math:: \min_\theta E_\tau L^\tau_Q(\varphi_k(\theta)), \quad
              \varphi_{j+1} = \varphi_j - \alpha \nabla L^\tau_S(\varphi_j)

    over tasks :math:`\tau`, each a sampled domain shown in source frames, with :math:`k` the `steps`
    (0 learns all domains jointly, and not to adapt), :math:`\alpha` the `rate`, :math:`L` the
    imitation loss of actions (B, A), and Adam at `meta_rate` for :math:`\theta`. On the demonstrations the
    same steps go on until the updates are spent. Exists for shifts of a kind that the family has, and too few
    demonstrations to learn them from. The family of `tasks.source_tasks`, which is taken where no `tasks`
    are passed, changes images alone: colours, tone, sharpness, the camera's place. For a shift of actions,
    such as a turn of all of them, pass one that has examples of it.
    Finn et al. 2017, arXiv:1703.03400.
    """

    def rule(support: Loss, query: Loss, start: Parameters) -> tuple[Parameters, Tensor]:
        return maml_gradient(support, query, start, steps, rate)

    return _meta_transfer(problem, report, tasks, rule, Inner(rate), share, meta_rate)


def anil(
    problem: Problem,
    report: Report,
    *,
    tasks: Tasks | None = None,
    steps: int = 3,
    rate: float = 0.3,
    share: float = SHARE,
    meta_rate: float = META_RATE,
) -> Policy:
    r"""MAML whose inner steps move the head alone: almost no inner loop.

    .. math:: \min_{\theta, \phi} E_\tau L^\tau_Q(\theta, \phi_k), \quad
              \phi_{j+1} = \phi_j - \alpha \nabla_\phi L^\tau_S(\theta, \phi_j)

    with features (B, F) for which a quickly adapted head, to actions (B, A), suffices; 0 `steps` learn all
    domains jointly. Exists for shifts of what an action does, such as a turn of all actions, where `tasks`
    are passed that have examples of it; the family taken otherwise changes images alone, as for `maml`.
    Raghu et al. 2020, arXiv:1909.09157.
    """
    names = [f"head.{name}" for name, _ in problem.policy.head.named_parameters()]

    def rule(support: Loss, query: Loss, start: Parameters) -> tuple[Parameters, Tensor]:
        return maml_gradient(support, query, start, steps, rate, names)

    return _meta_transfer(problem, report, tasks, rule, Inner(rate, names), share, meta_rate)


def reptile(
    problem: Problem,
    report: Report,
    *,
    tasks: Tasks | None = None,
    steps: int = 6,
    rate: float = 0.1,
    share: float = SHARE,
    meta_rate: float = META_RATE,
) -> Policy:
    r"""Move the weights towards where adaptation to each domain leads; no second derivatives.

    .. math:: \theta \leftarrow \theta + \epsilon \, E_\tau [\varphi^\tau_k - \theta], \quad
              \varphi_{j+1} = \varphi_j - \alpha \nabla L^\tau_S(\varphi_j)

    with :math:`L` the imitation loss of actions (B, A) and the step taken by Adam. With one step (`steps` 1)
    this is joint training; what lies beyond it rewards gradients of one domain that agree with each other.
    Exists for the shifts that `maml` is for, of the same family, where its second derivatives cost too much.
    Nichol et al. 2018, arXiv:1803.02999.
    """

    def rule(support: Loss, query: Loss, start: Parameters) -> tuple[Parameters, Tensor]:
        return reptile_gradient(support, query, start, steps, rate)

    return _meta_transfer(problem, report, tasks, rule, Inner(rate), share, meta_rate)


def imaml(
    problem: Problem,
    report: Report,
    *,
    tasks: Tasks | None = None,
    steps: int = 6,
    rate: float = 0.1,
    pull: float = 1.0,
    iterations: int = 3,
    share: float = SHARE,
    meta_rate: float = META_RATE,
) -> Policy:
    r"""MAML by implicit differentiation: the inner problem is pulled, and its solution differentiated.

    .. math:: \varphi^* = \arg\min_\varphi L_S(\varphi) + \tfrac{\lambda}{2} \| \varphi - \theta \|^2, \quad
              \nabla_\theta = (I + \tfrac{1}{\lambda} \nabla^2 L_S(\varphi^*))^{-1} \nabla L_Q(\varphi^*)

    with :math:`L` the imitation loss of actions (B, A), :math:`\lambda` the `pull` and the system solved by
    `iterations` of conjugate gradients. The way to the solution does not matter, so adaptation may take many
    steps; 0 `steps` learn all domains jointly. On the demonstrations the same pulled steps are taken. Exists
    for the shifts that `maml` is for, of the same family, with demonstrations enough for more than a few
    steps. Rajeswaran et al. 2019, arXiv:1909.04630.
    """

    def rule(support: Loss, query: Loss, start: Parameters) -> tuple[Parameters, Tensor]:
        if steps == 0:
            return maml_gradient(support, query, start, 0, rate)
        return imaml_gradient(support, query, start, steps, rate, pull, iterations)

    return _meta_transfer(problem, report, tasks, rule, Inner(rate, pull=pull), share, meta_rate)


def imitation(policy: Policy, batch: Batch) -> Loss:
    """Return the imitation loss of a batch as a function of the policy's parameters, by name."""

    def loss(parameters: Parameters) -> Tensor:
        action = functional_call(policy, parameters, (batch.observation,))
        return (action - batch.action).square().mean()

    return loss


def _meta_transfer(
    problem: Problem,
    report: Report,
    tasks: Tasks | None,
    rule: Rule,
    inner: Inner,
    share: float,
    meta_rate: float,
) -> Policy:
    """Learn to adapt for the first `share` of the updates; adapt to the target for the rest."""
    updates = max(1, round(share * problem.updates))
    policy = problem.once(
        "weights that adapt", lambda: _learn(problem, report, tasks, rule, updates, meta_rate)
    )
    return _adapt(policy, problem, report, inner, problem.updates - updates)


def _learn(
    problem: Problem, report: Report, tasks: Tasks | None, rule: Rule, updates: int, meta_rate: float
) -> Policy:
    """Return a policy that adapts to the domains of a family; no target is looked at."""
    if tasks is None:
        assert problem.source is not None  # declared as needed
        tasks = source_tasks(problem.source, SUPPORT)
    policy, rng = problem.copy_of_policy(), problem.generator()
    learner = Learner(policy, problem.learning(meta_rate, updates))
    for _ in range(updates):
        start, found = _weights(policy), []
        for _ in range(TASKS):
            task = tasks(rng)
            found.append(rule(imitation(policy, task.support), imitation(policy, task.query), start))
        mean = {name: torch.stack([gradient[name] for gradient, _ in found]).mean(dim=0) for name in start}
        learner.descend(mean)
        loss = float(torch.stack([value for _, value in found]).mean())
        report(Losses(loss, loss, 0.0))
    return learner.averaged()


def _adapt(policy: Policy, problem: Problem, report: Report, inner: Inner, updates: int) -> Policy:
    """Take the inner loop's own steps on the demonstrations."""
    data, rng = problem.demonstrated(), problem.generator()
    start = _weights(policy)
    current = dict(start)
    for _ in range(updates):
        loss = imitation(policy, data.batch(rng, BATCH_SIZE))
        current, value = pulled_step(loss, current, start, inner.rate, inner.pull, inner.names)
        report(Losses(float(value), float(value), 0.0))
    policy.load_state_dict(current, strict=False)
    return policy.eval()


def _weights(policy: Policy) -> Parameters:
    return {name: value.detach().clone() for name, value in policy.named_parameters()}


_NEEDS: tuple[Need, ...] = ("demonstrations", "source data")
METHODS_OF_FAMILY = (
    Method(
        "maml", "meta-transfer", "inductive", _NEEDS, "encoder and head",
        "Finn et al. 2017, arXiv:1703.03400", maml,
    ),
    Method(
        "anil", "meta-transfer", "inductive", _NEEDS, "head, on a meta-learned encoder",
        "Raghu et al. 2020, arXiv:1909.09157", anil,
    ),
    Method(
        "reptile", "meta-transfer", "inductive", _NEEDS, "encoder and head",
        "Nichol et al. 2018, arXiv:1803.02999", reptile,
    ),
    Method(
        "imaml", "meta-transfer", "inductive", _NEEDS, "encoder and head",
        "Rajeswaran et al. 2019, arXiv:1909.04630", imaml,
    ),
)  # fmt: skip
