import numpy as np
import ot
import pytest
import torch

from simreal.images import (
    Convolutions,
    convolve,
    draw_convolutions,
    fourier_transfer,
    match_colours,
    overlay,
)


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (2, 16, 16, 3)).astype(np.float32)
    style = (60 + 0.4 * rng.uniform(0, 255, (2, 16, 16, 3))).astype(np.float32)
    return torch.from_numpy(images), torch.from_numpy(style)


def published_fda(image: np.ndarray, style: np.ndarray, beta: float) -> np.ndarray:
    """What the authors' code does (github.com/YanchaoYang/FDA), for one image (C, H, W)."""
    source, target = np.fft.fft2(image), np.fft.fft2(style)
    amplitude = np.fft.fftshift(np.abs(source), axes=(-2, -1))
    other = np.fft.fftshift(np.abs(target), axes=(-2, -1))
    height, width = image.shape[1:]
    reach = int(np.floor(min(height, width) * beta))
    rows = slice(height // 2 - reach, height // 2 + reach + 1)
    columns = slice(width // 2 - reach, width // 2 + reach + 1)
    amplitude[:, rows, columns] = other[:, rows, columns]
    mixed = np.fft.ifftshift(amplitude, axes=(-2, -1)) * np.exp(1j * np.angle(source))
    return np.fft.ifft2(mixed).real


@pytest.mark.parametrize("beta", [0.05, 0.15, 0.3])
def test_fourier_transfer_equals_the_authors(pair, beta: float) -> None:
    images, style = pair
    found = fourier_transfer(images, style, beta)
    for one, image, other in zip(found, images, style, strict=True):
        expected = published_fda(image.permute(2, 0, 1).numpy(), other.permute(2, 0, 1).numpy(), beta)
        np.testing.assert_allclose(one.permute(2, 0, 1).numpy(), expected, atol=1e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_fourier_transfer_with_beta_zero_returns_the_image(pair, dtype: torch.dtype) -> None:
    images, style = (side.to(dtype) for side in pair)
    assert torch.equal(fourier_transfer(images, style, 0.0), images)
    assert not torch.equal(fourier_transfer(images, style, 0.1), images)


def test_match_colours_equals_the_map_of_pot(pair) -> None:
    images, style = pair
    found = match_colours(images, style)
    for one, image, other in zip(found, images, style, strict=True):
        pixels, goal = image.flatten(0, 1).double().numpy(), other.flatten(0, 1).double().numpy()
        matrix, offset = ot.gaussian.bures_wasserstein_mapping(
            pixels.mean(0), goal.mean(0), np.cov(pixels.T, bias=True), np.cov(goal.T, bias=True)
        )
        np.testing.assert_allclose(one.flatten(0, 1).numpy(), pixels @ matrix + offset, atol=1e-2)


def test_match_colours_gives_mean_and_covariance(pair) -> None:
    found, style = match_colours(*pair).flatten(1, 2), pair[1].flatten(1, 2)
    torch.testing.assert_close(found.mean(1), style.mean(1), rtol=1e-4, atol=1e-2)
    for one, other in zip(found, style, strict=True):
        torch.testing.assert_close(one.T.cov(), other.T.cov(), rtol=1e-3, atol=1)


def test_match_colours_of_a_flat_image_is_the_other_mean() -> None:
    flat = torch.full((1, 4, 4, 3), 90, dtype=torch.uint8)
    style = torch.full((1, 4, 4, 3), 30, dtype=torch.uint8)
    assert torch.equal(match_colours(flat, style), style)


def test_convolutions_of_a_delta_and_of_nothing(pair) -> None:
    images = pair[0]
    delta = torch.zeros(2, 3, 3, 3, 3)
    delta[:, range(3), range(3), 1, 1] = 1
    everything, nothing = torch.ones(2, 1, 1, 1), torch.zeros(2, 1, 1, 1)
    torch.testing.assert_close(convolve(images, Convolutions(delta, nothing)), images, rtol=0, atol=1e-2)
    drawn = draw_convolutions(np.random.default_rng(0), 2, 3)
    torch.testing.assert_close(
        convolve(images, Convolutions(drawn.kernels, everything)), images, rtol=0, atol=1e-2
    )
    assert not torch.allclose(convolve(images, drawn), images, atol=10)


def test_each_image_gets_a_convolution_of_its_own(pair) -> None:
    twice = pair[0][:1].repeat(2, 1, 1, 1)
    drawn = draw_convolutions(np.random.default_rng(0), 2, 3)
    changed = convolve(twice, drawn)
    assert not torch.allclose(changed[0], changed[1])
    alone = Convolutions(drawn.kernels[1:], drawn.kept[1:])
    torch.testing.assert_close(convolve(twice[1:], alone), changed[1:], rtol=0, atol=1e-2)
    again = draw_convolutions(np.random.default_rng(0), 2, 3)
    assert torch.equal(again.kernels, drawn.kernels)


def test_overlay(pair) -> None:
    torch.testing.assert_close(overlay(*pair, share=0.25), 0.75 * pair[0] + 0.25 * pair[1])
    assert torch.equal(overlay(*pair, share=0.0), pair[0])
