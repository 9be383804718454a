"""Pictures and clips for people: what the policy sees, and what it does."""

import base64
import io
from pathlib import Path
from typing import Any

import cv2
import gymnasium
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from policies import Policy
from simreal.rollout import Step, rollout
from simreal.seeds import Purpose, seed_for
from simreal.targets import Target

Picture = NDArray[np.uint8]
_CLIP_SIZE = 320
_BAR = 21  # the label above
_INSET = 96  # what the policy sees, in the corner of a clip
_HOLD = 10  # frames that the last picture of a clip stays
_CANDIDATES = 20  # episodes looked at for one that shows the difference


def policy_view(env: gymnasium.Env[Any, Any], target: Target, count: int) -> list[Picture]:
    """Return what the policy sees at the start of `count` episodes, enlarged without smoothing."""
    seeds = (seed_for(Purpose.EVALUATION, 0, index) for index in range(count))
    frames = [env.reset(seed=seed, options=target.options)[0]["image"] for seed in seeds]
    return [cv2.resize(frame, (192, 192), interpolation=cv2.INTER_NEAREST) for frame in frames]


def clip(
    env: gymnasium.Env[Any, Any],
    target: Target,
    left: Policy,
    right: Policy,
    labels: tuple[str, str],
) -> bytes:
    """Return an animated WebP of two policies in the same episode, side by side.

    Each picture shows the scene, and in its corner what the policy sees. It is the first episode in
    which the left one fails and the right one succeeds, if there is one.
    """
    seeds = [seed_for(Purpose.EVALUATION, 0, index) for index in range(_CANDIDATES)]
    seed = next((s for s in seeds if _differs(env, target, left, right, s)), seeds[0])
    films = [_film(env, target, policy, seed) for policy in (left, right)]
    length = max(len(frames) for frames, _ in films) + _HOLD
    pictures = [
        Image.fromarray(
            np.hstack(
                [
                    _labelled(
                        frames[min(index, len(frames) - 1)],
                        label,
                        success if index >= len(frames) else None,
                    )
                    for (frames, success), label in zip(films, labels, strict=True)
                ]
            )
        )
        for index in range(length)
    ]
    buffer = io.BytesIO()
    pictures[0].save(
        buffer, "WEBP", save_all=True, append_images=pictures[1:], duration=100, loop=0, quality=70
    )
    return buffer.getvalue()


def _differs(env: gymnasium.Env[Any, Any], target: Target, left: Policy, right: Policy, seed: int) -> bool:
    if rollout(env, left.act, seed, options=target.options).success:
        return False
    return rollout(env, right.act, seed, options=target.options).success


def _film(
    env: gymnasium.Env[Any, Any], target: Target, policy: Policy, seed: int
) -> tuple[list[Picture], bool]:
    frames: list[Picture] = []

    def look(seen: NDArray[Any]) -> None:
        scene: Any = env.render()
        picture = cv2.resize(scene, (_CLIP_SIZE,) * 2, interpolation=cv2.INTER_AREA)
        inset = cv2.resize(seen, (_INSET,) * 2, interpolation=cv2.INTER_NEAREST)
        picture[_BAR : _BAR + _INSET, :_INSET] = inset
        frames.append(picture)

    def after(step: Step) -> None:
        look(step.observation["image"])

    summary = rollout(env, policy.act, seed, after=after, options=target.options)
    return frames, summary.success


def _labelled(picture: Picture, label: str, success: bool | None) -> Picture:
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    ending = "" if success is None else ": reached" if success else ": missed"
    colour = (40, 40, 40) if success is None else (20, 120, 60) if success else (180, 40, 40)
    draw.rectangle((0, 0, _CLIP_SIZE, _BAR - 1), fill=colour)
    draw.text((6, 4), f"{label}{ending}", fill=(255, 255, 255), font_size=12)
    return np.asarray(image)


def data_uri(data: bytes, kind: str) -> str:
    """Return bytes as a `data:` address, so that the page needs no other file."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def png(picture: Picture) -> bytes:
    """Return an RGB picture as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def strip(pictures: list[Picture], path: Path | None = None) -> bytes:
    """Return pictures in a row, with white between them, as PNG; also written to `path`."""
    gap = np.full((pictures[0].shape[0], 6, 3), 255, np.uint8)
    row = pictures[0]
    for picture in pictures[1:]:
        row = np.hstack([row, gap, picture])
    data = png(row)
    if path is not None:
        path.write_bytes(data)
    return data
