import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles
from skada.deep.losses import deepcoral_loss
from sklearn.metrics.pairwise import rbf_kernel

from simreal.transfer.divergences import (
    coral_loss,
    median_bandwidths,
    mmd_loss,
    normalized,
    rsd_loss,
    squared_distances,
)


@pytest.fixture
def features() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    source = torch.randn(40, 24, generator=generator)
    target = torch.randn(40, 24, generator=generator) * 1.4 + 0.3
    return source, target


def test_coral_equals_skada(features) -> None:
    torch.testing.assert_close(coral_loss(*features), deepcoral_loss(*features))


def test_mmd_equals_the_kernels_of_scikit_learn(features) -> None:
    source, target = features
    bandwidths = median_bandwidths(source, target)
    expected = np.mean(
        [
            rbf_kernel(source, gamma=gamma).mean()
            + rbf_kernel(target, gamma=gamma).mean()
            - 2 * rbf_kernel(source, target, gamma=gamma).mean()
            for gamma in (1 / (2 * float(width) ** 2) for width in bandwidths)
        ]
    )
    assert float(mmd_loss(source, target, bandwidths)) == pytest.approx(expected, rel=1e-4)


def test_the_middle_bandwidth_is_the_median_distance(features) -> None:
    every = torch.cat(features)
    assert float(median_bandwidths(*features)[2]) == pytest.approx(
        float(torch.pdist(every).median()), rel=1e-5
    )


def test_rsd_equals_the_principal_angles_of_scipy(features) -> None:
    source, target = (side[:10] for side in features)
    expected = np.sin(subspace_angles(source.numpy().T, target.numpy().T)).sum()
    assert float(rsd_loss(source, target, mismatch=0.0)) == pytest.approx(expected, rel=1e-5)


def test_rsd_is_blind_to_scale_and_sees_bases_change_places() -> None:
    generator = torch.Generator().manual_seed(1)
    base = torch.linalg.qr(torch.randn(20, 4, generator=generator))[0].T
    spread = torch.tensor([4.0, 3.0, 2.0, 1.0])[:, None]
    same = float(rsd_loss(base * spread, 5 * base * spread))
    swapped = float(rsd_loss(base * spread, base * spread.flip(0)))
    assert same == pytest.approx(4 * 1e-3, abs=1e-3)  # the root's smallest value, four times
    assert swapped > same + 0.01


@pytest.mark.parametrize("loss", [coral_loss, rsd_loss])
def test_equal_features_have_no_distance_and_a_finite_gradient(loss, features) -> None:
    source = features[0][:10].clone().requires_grad_(True)
    value = loss(source, features[0][:10])
    value.backward()
    assert float(value) < 0.02
    assert bool(source.grad.isfinite().all())


def test_mmd_of_equal_features_has_a_finite_gradient(features) -> None:
    source = features[0].clone().requires_grad_(True)
    mmd_loss(source, source.detach(), torch.tensor([1.0])).backward()
    assert bool(source.grad.isfinite().all())


def test_distances(features) -> None:
    torch.testing.assert_close(squared_distances(*features), torch.cdist(*features).square())


def test_normalized_features_keep_their_scale_whatever_the_encoder_does(features) -> None:
    shrunk = normalized(0.01 * features[0])
    torch.testing.assert_close(shrunk, normalized(features[0]), rtol=1e-1, atol=1e-1)
    torch.testing.assert_close(
        shrunk[:3], normalized(0.01 * features[0][:3])
    )  # whatever else is in the batch


def test_rsd_of_few_directions_sees_what_all_of_them_hide(features) -> None:
    """As many samples as elements span everything; the main directions still differ."""
    stretch = torch.linspace(1, 10, 24)
    source, target = features[0] * stretch, features[1] * stretch.flip(0)
    assert float(rsd_loss(source, target, mismatch=0.0)) < 0.1
    assert float(rsd_loss(source, target, 4, mismatch=0.0)) > 2
