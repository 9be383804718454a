"""Reinforcement: stable-baselines3 goes on from the bundle's own weights, on the target's reward."""

import dataclasses
from typing import Any

import numpy as np
import torch
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from torch import Tensor, nn

from policies import Policy, PolicyConfig
from policies.sb3 import critic_encoders, policy_from_sb3, policy_kwargs, policy_to_sb3
from simreal.errors import SimrealError
from simreal.learning import Losses
from simreal.transfer.base import ENCODER_RATES, Method, Problem, Report
from simreal.transfer.rewarded import Env, RewardedSteps

GAMMA = 0.95  # as in pretraining: reaching takes about ten steps
CRITIC_ALONE = 0.2  # share of the steps in which only the critic learns: it starts from nothing
_ROLLOUTS = 10  # of PPO, at least, whatever the budget
_LONGEST_ROLLOUT, _SHORTEST_ROLLOUT = 512, 32  # steps
_SAC_ROLLOUT = 4  # steps
_PPO_LOG_STD, _SAC_LOG_STD = -1.2, -1.6  # a policy that is nearly right explores near itself
# tanh(1.25 x) is as near to x within [-1, 1] as tanh(k x) comes, with the ends counted.
TANH_GAIN = 1.25


def ppo(problem: Problem, report: Report, *, learning_rate: float = 3e-4) -> Policy:
    r"""Proximal policy optimization on the target's reward, from the source weights.

    .. math:: \max_{\theta, \phi} E[\min(\rho A, \text{clip}(\rho, 1 - \epsilon, 1 + \epsilon) A)], \quad
              \rho = \frac{\pi(a | o)}{\pi_{\text{old}}(a | o)}, \quad
              \pi = N(h_\phi(f_\theta(o)), \sigma^2)

    with :math:`A` the generalized advantage (B,) and a critic that shares the encoder. The encoder is
    frozen, slow or free (`Problem.encoder`: none, a tenth, or all of `learning_rate`; 0 learns nothing).
    The critic begins alone. Exists for shifts of the dynamics, such as a turn of what all actions do,
    where even the expert's actions are no longer right and only the reward tells. Schulman et al. 2017,
    arXiv:1707.06347.
    """
    budget, env = _budget(problem)
    rollout = max(_SHORTEST_ROLLOUT, min(_LONGEST_ROLLOUT, budget.steps // _ROLLOUTS))
    steps = budget.steps // rollout * rollout
    if steps == 0:
        raise SimrealError(f"--steps {budget.steps}: PPO needs at least {_SHORTEST_ROLLOUT}")
    config = dataclasses.replace(problem.policy.config, auxiliary=())
    model = PPO(
        "MultiInputPolicy",
        env,
        learning_rate=learning_rate * problem.rate_scale,
        n_steps=rollout,
        batch_size=64,
        n_epochs=8,
        gamma=GAMMA,
        target_kl=0.05,
        seed=_seed(problem),
        policy_kwargs=policy_kwargs(config) | {"log_std_init": _PPO_LOG_STD},
        device="cpu",
    )
    policy_to_sb3(_without_auxiliary(problem.policy), model)
    return _learn(model, problem, steps, report, config, [model.policy])


def sac(problem: Problem, report: Report, *, learning_rate: float = 3e-4) -> Policy:
    r"""Soft actor-critic on the target's reward, from the source weights; every step is remembered.

    .. math:: \max_{\theta, \phi} E[Q(o, a) - \alpha \log \pi(a | o)], \quad
              Q(o, a) \approx r + \gamma \, (Q'(o', a') - \alpha \log \pi(a' | o'))

    with :math:`\pi = \tanh N(h_\phi(f_\theta(o)), \sigma(o)^2)` over actions (B, A) and two critics Q
    (B,), each on an encoder that starts from the source's too. A head that clips its actions gets its
    output scaled to suit the hyperbolic tangent. The encoder is frozen, slow or free, and the critics
    begin alone, as in `ppo`. Exists for the shifts that PPO is for, where steps on the target are dearer
    than computation. Haarnoja et al. 2018, arXiv:1801.01290.
    """
    budget, env = _budget(problem)
    steps = budget.steps // _SAC_ROLLOUT * _SAC_ROLLOUT
    if steps == 0:
        raise SimrealError(f"--steps {budget.steps}: SAC needs at least {_SAC_ROLLOUT}")
    source = _without_auxiliary(problem.policy)
    head = source.config.head
    config = dataclasses.replace(source.config, head=dataclasses.replace(head, squash="tanh"))
    model = SAC(
        "MultiInputPolicy",
        env,
        learning_rate=learning_rate * problem.rate_scale,
        buffer_size=min(steps, 20_000),  # 25 kB each, at 64 pixels
        learning_starts=0,  # SB3 would take random actions until then, on the target
        batch_size=64,
        train_freq=_SAC_ROLLOUT,
        gradient_steps=_SAC_ROLLOUT,
        gamma=GAMMA,
        ent_coef="auto_0.01",
        seed=_seed(problem),
        policy_kwargs=policy_kwargs(config),
        device="cpu",
    )
    if head.squash == "clip":
        with torch.no_grad():
            source.head.output.weight.mul_(TANH_GAIN)
            source.head.output.bias.mul_(TANH_GAIN)
    policy_to_sb3(source, model)
    deviation: Any = model.actor.log_std
    with torch.no_grad():
        deviation.weight.zero_()
        deviation.bias.fill_(_SAC_LOG_STD)
    return _learn(model, problem, steps, report, config, [model.actor, model.critic])


class ScaledAdam(torch.optim.Adam):
    """Adam whose groups may have a `scale` on the learning rate, which SB3 sets for all alike."""

    def step(self, closure: Any = None) -> Any:
        """Take a step, each group at its own scale."""
        rates = [group["lr"] for group in self.param_groups]
        for group in self.param_groups:
            group["lr"] *= group.get("scale", 1.0)
        result = super().step(closure)
        for group, rate in zip(self.param_groups, rates, strict=True):
            group["lr"] = rate
        return result


class _Progress(BaseCallback):
    """Reports every step, and holds the actor until the critic knows something."""

    def __init__(self, report: Report, waiting: list[dict[str, Any]], until: int) -> None:
        super().__init__()
        self._report, self._until = report, until
        self._waiting = [(group, group["scale"]) for group in waiting]

    def _on_step(self) -> bool:
        for group, scale in self._waiting:
            group["scale"] = scale if self.num_timesteps > self._until else 0.0
        reward = float(np.mean(self.locals["rewards"]))
        self._report(Losses(-reward, 0.0, 0.0))
        return True


def _learn(
    model: BaseAlgorithm,
    problem: Problem,
    steps: int,
    report: Report,
    config: PolicyConfig,
    learners: list[Any],
) -> Policy:
    """Train a model and return its actor, with the source's auxiliary heads.

    Args:
        model: With the source's weights in its actor.
        problem: Tells how fast the encoder learns.
        steps: Environment steps to take.
        report: Told every step.
        config: Of the policy that comes out, without auxiliary heads.
        learners: The parts of the model that have optimizers of their own.
    """
    for encoder in critic_encoders(model):
        encoder.load_state_dict(problem.policy.encoder.state_dict())
    waiting = []
    for part in learners:
        part.optimizer = _optimizer(part, ENCODER_RATES[problem.encoder])
        waiting += [group for group in part.optimizer.param_groups if group["waits"]]
    model.learn(steps, _Progress(report, waiting, round(CRITIC_ALONE * steps)))
    adapted = policy_from_sb3(model, config)
    policy = Policy(dataclasses.replace(config, auxiliary=problem.policy.config.auxiliary))
    policy.encoder.load_state_dict(adapted.encoder.state_dict())
    policy.head.load_state_dict(adapted.head.state_dict())
    policy.auxiliary.load_state_dict(problem.policy.auxiliary.state_dict())
    return policy.eval()


def _optimizer(part: nn.Module, encoder_rate: float) -> ScaledAdam:
    """Return an optimizer in three groups: encoders, what the actor has alone, what the critic has."""
    groups: dict[str, list[Tensor]] = {"encoder": [], "actor": [], "critic": []}
    for name, parameter in part.named_parameters():
        if "features_extractor" in name:
            groups["encoder"].append(parameter.requires_grad_(encoder_rate > 0))
        elif any(word in name for word in ("value_net", "qf")):
            groups["critic"].append(parameter)
        else:
            groups["actor"].append(parameter)
    scales = {"encoder": encoder_rate, "actor": 1.0, "critic": 1.0}
    return ScaledAdam(
        [
            {"params": parameters, "scale": scales[name], "waits": name != "critic"}
            for name, parameters in groups.items()
            if parameters
        ]
    )


def _budget(problem: Problem) -> tuple[RewardedSteps, Env]:
    assert problem.rewarded is not None  # declared as needed
    image = "image" in problem.policy.config.observation_names
    return problem.rewarded, problem.rewarded.open(image)


def _without_auxiliary(policy: Policy) -> Policy:
    """Return a copy of encoder and head: what stable-baselines3 has a place for."""
    bare = Policy(dataclasses.replace(policy.config, auxiliary=()))
    bare.encoder.load_state_dict(policy.encoder.state_dict())
    bare.head.load_state_dict(policy.head.state_dict())
    return bare


def _seed(problem: Problem) -> int:
    return problem.seed % (1 << 31)  # NumPy's old generator takes no more


METHODS_OF_FAMILY = (
    Method(
        "ppo", "reinforcement", "inductive", ("rewarded steps",), "head, and encoder if not frozen",
        "Schulman et al. 2017, arXiv:1707.06347", ppo,
    ),
    Method(
        "sac", "reinforcement", "inductive", ("rewarded steps",), "head, and encoder if not frozen",
        "Haarnoja et al. 2018, arXiv:1801.01290", sac,
    ),
)  # fmt: skip
