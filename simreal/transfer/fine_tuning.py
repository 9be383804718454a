"""Fine-tuning: gradient steps on a few demonstrations of the target, from the source weights."""

import dataclasses
from collections.abc import Callable

import torch
from torch import nn

from policies import Policy
from simreal.data.batch import concatenate
from simreal.learning import Group, Learner
from simreal.transfer.base import BATCH_SIZE, Method, Problem, Report, fit

# Share of the updates before source frames join: of 0, 1/3 and 2/3 the best on tuning seeds.
_ALONE = 2 / 3
L2_SP_PULL = 10.0


def finetune(
    problem: Problem, report: Report, *, encoder: bool = True, learning_rate: float = 2e-4
) -> Policy:
    r"""Minimize the imitation loss on the demonstrations, over encoder and head.

    .. math:: \min_{\theta, \phi} E_{(o, a) \sim D_T} \| h_\phi(f_\theta(o)) - a \|^2

    with :math:`o` an image (B, H, W, 3) and proprioception (B, P), :math:`a` (B, A), starting from
    the source weights. Without `encoder` only the head learns. Exists for shifts of perception, such as
    transposed images, that some two hundred frames show. Yosinski et al. 2014, arXiv:1411.1792.
    """
    policy = problem.copy_of_policy()
    trainable = None if encoder else policy.head.parameters()
    return fit(Learner(policy, problem.learning(learning_rate), trainable), problem, report)


def head_only(
    problem: Problem, report: Report, *, encoder: bool = False, learning_rate: float = 1e-3
) -> Policy:
    r"""Minimize the same loss over the head alone; every encoder weight stays as it is, bit for bit.

    .. math:: \min_\phi E_{(o, a) \sim D_T} \| h_\phi(f_{\theta_S}(o)) - a \|^2

    with features :math:`f` (B, F) and actions :math:`a` (B, A). With `encoder` it would learn too. Exists
    for shifts of what an action does, such as a turn of all actions, where the features still hold.
    Kumar et al. 2022, arXiv:2202.10054 (linear probing).
    """
    return finetune(problem, report, encoder=encoder, learning_rate=learning_rate)


def cotrain(problem: Problem, report: Report, *, share: float = 1 / 8, learning_rate: float = 2e-4) -> Policy:
    r"""Fine-tune on the target, then go on with one source frame to eight of the target.

    .. math:: \min_{\theta, \phi} \frac{8}{9} E_{D_T} \| h(f(o)) - a \|^2
              + \frac{1}{9} E_{D_S} \| h(f(o)) - a \|^2

    in the last third of the updates; before, :math:`D_T` alone. Images (B, H, W, 3) of the source take a
    fresh appearance each time, actions :math:`a` (B, A) are the expert's; `share` says how many such frames
    there are to one of the target. With them the policy forgets less of what ten demonstrations do not
    show. Given from the start, or in equal parts, they hold the policy to the source's camera instead: the
    few target frames are then learned as exceptions. Exists for shifts of the camera and of appearance,
    such as transposed images, after which the source should be forgotten less.
    Maddukuri et al. 2025, arXiv:2503.24361.
    """
    policy = problem.copy_of_policy()
    learner = Learner(policy, problem.learning(learning_rate))
    demonstrations, rng = problem.demonstrated(), problem.generator()
    assert problem.source is not None  # declared as needed
    alone, beside = round(_ALONE * learner.config.updates), round(share * BATCH_SIZE)
    for update in range(learner.config.updates):
        batch = demonstrations.batch(rng, BATCH_SIZE)
        if update >= alone and beside:
            # Without its goal positions: asked for, they too hold the features to the source's camera.
            source = problem.source.batch(rng, beside)
            batch = concatenate(batch, dataclasses.replace(source, auxiliary={}))
        report(learner.update(batch))
    return learner.averaged()


def gradual_unfreeze(
    problem: Problem, report: Report, *, span: float = 0.5, learning_rate: float = 2e-4
) -> Policy:
    r"""Fine-tune from the head down: each layer joins when those above it have begun to fit.

    .. math:: \theta_l \leftarrow \theta_l - \eta_t \, 1[t \ge s \, T \, l / L] \,
              \nabla_{\theta_l} E_{D_T} \| h(f(o)) - a \|^2

    with layer :math:`l` counted from the head (0) to the first convolution (L), :math:`T` updates and
    :math:`s` the `span`; 0 is fine-tuning. Early gradients of a head that does not fit yet would
    distort low layers that do. Exists for shifts of what an action (B, A) does, such as a turn of all
    actions, where the lower a layer the less it should change. Howard & Ruder 2018, arXiv:1801.06146.
    """
    policy = problem.copy_of_policy()
    layers = [tuple(policy.head.parameters()), *_layers(policy.encoder)[::-1]]
    last = len(layers) - 1
    groups = [Group(layer, _from(span * depth / last)) for depth, layer in enumerate(layers)]
    learner = Learner(policy, problem.learning(learning_rate), groups=groups)
    return fit(learner, problem, report)


def lp_ft(problem: Problem, report: Report, *, probing: float = 0.5, learning_rate: float = 2e-4) -> Policy:
    r"""Fit the head to the source features first (linear probing), then fine-tune everything.

    .. math:: \phi_0 = \arg\min_\phi E_{D_T} \| h_\phi(f_{\theta_S}(o)) - a \|^2, \quad
              \min_{\theta, \phi} E_{D_T} \| h_\phi(f_\theta(o)) - a \|^2
              \text{ from } (\theta_S, \phi_0)

    with features :math:`f` (B, F) and actions :math:`a` (B, A), the first problem given the share `probing`
    of the updates, at five times the learning rate; 0 is fine-tuning. Starting from a head that fits,
    features move less. Exists for shifts of what an action does, such as a turn of all actions, with
    observations that the demonstrations do not cover. Kumar et al. 2022, arXiv:2202.10054.
    """
    policy = problem.copy_of_policy()
    groups = [
        Group(tuple(policy.head.parameters()), lambda share: 5.0 if share < probing else 1.0),
        Group(tuple(policy.encoder.parameters()), _from(probing)),
    ]
    learner = Learner(policy, problem.learning(learning_rate), groups=groups)
    return fit(learner, problem, report)


def l2_sp(
    problem: Problem, report: Report, *, pull: float = L2_SP_PULL, learning_rate: float = 2e-4
) -> Policy:
    r"""Fine-tune, pulled towards the source weights after every step.

    .. math:: \min_w E_{D_T} \| h(f(o)) - a \|^2 + \tfrac{\lambda}{2} \| w - w_S \|^2, \quad
              w \leftarrow w + \tfrac{\eta \lambda}{1 + \eta \lambda} (w_S - w)

    with :math:`w = (\theta, \phi)`, actions :math:`a` (B, A), :math:`\lambda` the `pull` and :math:`\eta` the
    learning rate. The penalty is taken as a proximal step, outside Adam, which would divide it by its own
    size: so 0 is fine-tuning, and infinity the source, bit for bit. Exists for shifts, such as transposed
    images, after which the source should be forgotten less; the larger `pull`, the less.
    Li et al. 2018, arXiv:1802.01483.
    """
    policy = problem.copy_of_policy()
    weights: list[torch.Tensor] = list(policy.parameters())
    source = [weight.detach().clone() for weight in weights]

    @torch.no_grad()
    def pull_back(rate: float) -> None:
        torch._foreach_lerp_(weights, source, 1 - 1 / (1 + rate * pull))

    learner = Learner(policy, problem.learning(learning_rate), after_step=pull_back)
    return fit(learner, problem, report)


def _layers(module: nn.Module) -> list[tuple[nn.Parameter, ...]]:
    """Return the parameters of every layer, from the observation up."""
    own = (tuple(layer.parameters(recurse=False)) for layer in module.modules())
    return [layer for layer in own if layer]


def _from(begin: float) -> Callable[[float], float]:
    """Return the rate of a group that joins at this share of the updates."""
    return lambda share: float(share >= begin)


METHODS_OF_FAMILY = (
    Method(
        "head-only", "fine-tuning", "inductive", ("demonstrations",), "head",
        "Kumar et al. 2022, arXiv:2202.10054", head_only,
    ),
    Method(
        "finetune", "fine-tuning", "inductive", ("demonstrations",), "encoder and head",
        "Yosinski et al. 2014, arXiv:1411.1792", finetune,
    ),
    Method(
        "gradual-unfreeze", "fine-tuning", "inductive", ("demonstrations",), "encoder and head",
        "Howard & Ruder 2018, arXiv:1801.06146", gradual_unfreeze,
    ),
    Method(
        "lp-ft", "fine-tuning", "inductive", ("demonstrations",), "encoder and head",
        "Kumar et al. 2022, arXiv:2202.10054", lp_ft,
    ),
    Method(
        "l2-sp", "fine-tuning", "inductive", ("demonstrations",), "encoder and head",
        "Li et al. 2018, arXiv:1802.01483", l2_sp,
    ),
    Method(
        "cotrain", "fine-tuning", "inductive", ("demonstrations", "source data"),
        "encoder and head", "Maddukuri et al. 2025, arXiv:2503.24361", cotrain,
    ),
)  # fmt: skip
