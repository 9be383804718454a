"""Latent search: an encoder conditioned on a few numbers, and the numbers found for the target."""

import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from policies import Policy
from policies.encoders import Observation
from simreal.data.batch import Batch
from simreal.extras import extra
from simreal.learning import Learner, Losses
from simreal.transfer.base import Method, Problem, Report
from simreal.transfer.tasks import Task, Tasks, source_tasks

SIZE = 4  # of the latent
TRAIN_SHARE = 0.9  # of the updates learn what the latent does; the others, ten times as dear, are looks
_FRAMES = 64  # of a sampled domain in one update
_LOOK_FRAMES = 256  # of the demonstrations, at most, in every look
_DOMAIN = "domain"  # entry of an observation that says which domain it shows


class ConditionedEncoder(nn.Module):
    r"""An encoder whose weights move with a latent z (Z,) in [-1, 1]: at 0 it is the source's.

    .. math:: f_z = f_{\theta_S + \sum_i z_i U_i}
    """

    def __init__(self, base: nn.Module, description_size: int, size: int = SIZE) -> None:
        """Condition `base`, which stays as it is.

        Args:
            base: The source's encoder.
            description_size: Numbers that describe a sampled domain.
            size: Numbers of the latent.
        """
        super().__init__()
        self.base = base
        self.embed = nn.Linear(description_size, size, bias=False)  # the source, all zero, is z = 0
        self.directions = nn.ParameterDict(
            {
                _key(name): nn.Parameter(torch.zeros(size, *weight.shape))
                for name, weight in base.named_parameters()
            }
        )

    def latent(self, description: Tensor) -> Tensor:
        """Return the latent (Z,) of a domain described by (D,)."""
        return torch.tanh(self.embed(description))

    def weights(self, latent: Tensor) -> dict[str, Tensor]:
        """Return the weights of the encoder at a latent (Z,)."""
        return {
            name: weight + torch.tensordot(latent, self.directions[_key(name)], dims=1)
            for name, weight in self.base.named_parameters()
        }

    def perceive(self, observation: Observation) -> Tensor:
        """Return what the images alone tell; of observations of one domain, described by `domain` (1, D)."""
        return self._at(observation, "perceive", _without_domain(observation))

    def combine(self, perception: Tensor, observation: Observation) -> Tensor:
        """Return the feature (B, F)."""
        return self._at(observation, "combine", perception, _without_domain(observation))

    def forward(self, observation: Observation) -> Tensor:
        """Return the feature (B, F)."""
        return self.combine(self.perceive(observation), observation)

    def _at(self, observation: Observation, part: str, *inputs: Any) -> Tensor:
        # bfloat16 is for the network: a latent, and small moves of weights, would be lost in its steps.
        with torch.autocast("cpu", enabled=False):
            weights = self.weights(self.latent(observation[_DOMAIN][0]))
        held = {f"encoder.{name}": weight for name, weight in weights.items()}
        return functional_call(_Part(self.base, part), held, inputs)


class _Part(nn.Module):
    """One method of an encoder as a module's `forward`, which is what `functional_call` calls."""

    def __init__(self, encoder: nn.Module, part: str) -> None:
        super().__init__()
        self.encoder, self._part = encoder, part

    def forward(self, *inputs: Any) -> Tensor:
        return getattr(self.encoder, self._part)(*inputs)


def _without_domain(observation: Observation) -> Observation:
    return {name: value for name, value in observation.items() if name != _DOMAIN}


def latent_search(
    problem: Problem,
    report: Report,
    *,
    tasks: Tasks | None = None,
    size: int = SIZE,
    looks: int | None = None,
) -> Policy:
    r"""Learn a few directions in which domains move the encoder; search the target along them.

    .. math:: \min_{U, E} E_\tau L^\tau(f_{\theta_S + U z_\tau}), \; z_\tau = \tanh(E d_\tau), \quad
              z^* = \arg\min_{z \in [-1, 1]^Z} L_{D_T}(f_{\theta_S + U z})

    over sampled domains :math:`\tau` with known descriptions :math:`d_\tau` (D,), all zero at the source;
    :math:`z^*` (Z,) is found by Bayesian optimization: a Gaussian process of the loss and its expected
    improvement (optuna's GPSampler), in `looks` evaluations of the demonstrations, each in place of
    an update; 0 looks leave the source policy. Exists for shifts of a kind that the family has, from
    so few frames that more than Z numbers could not be told. The family taken where no `tasks` are passed
    changes images alone (`tasks.source_tasks`); for another shift, such as a turn of all actions, pass one
    that has examples of it. Yu et al. 2019, arXiv:1810.05751 (search of a domain-conditioned policy's
    latent, there with CMA-ES).
    """
    _optuna()  # missing, it is missed now and not after the training
    updates = max(1, round(TRAIN_SHARE * problem.updates))
    policy = problem.once("directions", lambda: _learn_directions(problem, report, tasks, size, updates))
    conditioned: ConditionedEncoder = policy.encoder
    found = _search(policy, problem, report, size, problem.updates - updates if looks is None else looks)
    with torch.no_grad():
        weights = conditioned.weights(found)
    policy.encoder = conditioned.base
    policy.encoder.load_state_dict(weights, strict=False)
    return policy.eval()


def _learn_directions(
    problem: Problem, report: Report, tasks: Tasks | None, size: int, updates: int
) -> Policy:
    """Return the policy with a conditioned encoder, fitted to sampled domains; no target is looked at."""
    if tasks is None:
        assert problem.source is not None  # declared as needed
        tasks = source_tasks(problem.source, _FRAMES // 2)
    policy, rng = problem.copy_of_policy(), problem.generator()
    torch.manual_seed(problem.seed)
    task = tasks(rng)
    encoder = ConditionedEncoder(policy.encoder, len(task.description), size)
    policy.encoder = encoder
    learned = [*encoder.embed.parameters(), *encoder.directions.parameters()]
    learner = Learner(policy, problem.learning(1e-3, updates), trainable=learned)
    for _ in range(updates):
        report(learner.update(_described(task)))
        task = tasks(rng)
    return learner.averaged()


def _described(task: Task) -> Batch:
    observation = {
        name: torch.cat([value, task.query.observation[name]])
        for name, value in task.support.observation.items()
    }
    observation[_DOMAIN] = torch.from_numpy(task.description)[None].float()
    return Batch(observation, torch.cat([task.support.action, task.query.action]), {})


def _search(policy: Policy, problem: Problem, report: Report, size: int, looks: int) -> Tensor:
    """Return the latent (Z,) with the least loss on the demonstrations; the source's is looked at first."""
    optuna, data = _optuna(), problem.demonstrated()
    rng = problem.generator()
    chosen = rng.permutation(len(data))[:_LOOK_FRAMES]
    batch = data.at(chosen)

    def loss(trial: Any) -> float:
        latent = torch.tensor([trial.suggest_float(f"z{axis}", -1.0, 1.0) for axis in range(size)])
        with torch.no_grad():
            feature = functional_call(
                policy.encoder.base, policy.encoder.weights(latent), (batch.observation,)
            )
            value = float((policy.head(feature) - batch.action).square().mean())
        report(Losses(value, value, 0.0))
        return value

    if looks < 1:
        return torch.zeros(size)
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # it warns of a faster optimizer: for thirty looks
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.GPSampler(seed=problem.seed % (1 << 32), deterministic_objective=True)
    study = optuna.create_study(sampler=sampler)
    study.enqueue_trial({f"z{axis}": 0.0 for axis in range(size)})
    study.optimize(loss, n_trials=looks)
    return torch.tensor([study.best_params[f"z{axis}"] for axis in range(size)])


def _optuna() -> Any:
    return extra("optuna", "latent-search", "search")


def _key(name: str) -> str:
    return name.replace(".", "/")  # a dot is not allowed in the name of a parameter


METHODS_OF_FAMILY = (
    Method(
        "latent-search", "meta-transfer", "inductive", ("demonstrations", "source data"), "encoder",
        "Yu et al. 2019, arXiv:1810.05751", latent_search,
    ),
)  # fmt: skip
