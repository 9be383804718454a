import pytest
import torch
from torch import Tensor

from simreal.transfer.meta_gradients import (
    Parameters,
    conjugate_gradients,
    descend,
    imaml_gradient,
    maml_gradient,
    reptile_gradient,
)


@pytest.fixture(autouse=True)
def _double() -> None:
    torch.manual_seed(0)


def network(inputs: Tensor, labels: Tensor):
    """Return the loss of a small network, as a function of its parameters."""

    def loss(weights: Parameters) -> Tensor:
        hidden = torch.tanh(inputs @ weights["body"])
        return (hidden @ weights["head"] - labels).square().mean()

    return loss


def problem() -> tuple:
    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64)

    support, query = network(draw(6, 3), draw(6, 2)), network(draw(6, 3), draw(6, 2))
    return support, query, {"body": draw(3, 4), "head": draw(4, 2)}


@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize("names", [None, ["head"]])
def test_maml_gradient_matches_finite_differences(steps: int, names: list[str] | None) -> None:
    support, query, start = problem()
    gradient, value = maml_gradient(support, query, start, steps, 0.3, names)
    assert value == query(descend(support, start, steps, 0.3, names))
    step = 1e-5
    for name, weight in start.items():
        for index in range(weight.numel()):
            ends = []
            for sign in (step, -step):
                moved = weight.clone()
                moved.view(-1)[index] += sign
                ends.append(query(descend(support, {**start, name: moved}, steps, 0.3, names)))
            slope = (ends[0] - ends[1]) / (2 * step)
            assert float(gradient[name].view(-1)[index]) == pytest.approx(float(slope), abs=1e-8)


def test_the_inner_loop_of_anil_moves_the_head_alone() -> None:
    support, _, start = problem()
    adapted = descend(support, start, 2, 0.3, ["head"])
    assert adapted["body"] is start["body"]
    assert not torch.equal(adapted["head"], start["head"])


def test_one_step_of_reptile_is_the_gradient_and_more_are_not() -> None:
    support, query, start = problem()
    plain, _ = maml_gradient(query, support, start, 0, 0.3)
    for steps, same in ((1, True), (3, False)):
        gradient, _ = reptile_gradient(support, query, start, steps, 0.3)
        assert torch.allclose(gradient["body"], plain["body"], atol=1e-12) == same


def test_imaml_on_a_quadratic_matches_the_closed_form() -> None:
    size, pull = 5, 0.7
    root = torch.randn(size, size, dtype=torch.float64)
    curvature, slope = root @ root.T / size, torch.randn(size, dtype=torch.float64)
    goal, theta = torch.randn(2, size, dtype=torch.float64)

    def support(weights: Parameters) -> Tensor:
        return 0.5 * weights["w"] @ curvature @ weights["w"] - slope @ weights["w"]

    def query(weights: Parameters) -> Tensor:
        return 0.5 * (weights["w"] - goal).square().sum()

    gradient, value = imaml_gradient(support, query, {"w": theta}, 300, 0.3, pull, size)
    pulled = curvature + pull * torch.eye(size, dtype=torch.float64)
    solution = torch.linalg.solve(pulled, slope + pull * theta)
    expected = torch.linalg.solve(pulled, pull * (solution - goal))
    assert value == pytest.approx(float(query({"w": solution})), abs=1e-9)
    assert torch.allclose(gradient["w"], expected, atol=1e-8)


def test_conjugate_gradients_stop_where_the_system_bends_down() -> None:
    right = {"w": torch.tensor([1.0, 1.0])}
    solution = conjugate_gradients(lambda vector: {"w": -vector["w"]}, right, 5)
    assert torch.equal(solution["w"], torch.zeros(2))
