"""Advantages, weights of roles and the replay pool: against loops, by their sums, and broken on purpose."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from tacit.language.advantages import advantages, role_weights
from tacit.language.game import Contest
from tacit.language.replay import Pool, mix


def draw_samples(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    num_samples = int(rng.integers(1, 60))
    groups = rng.choice(rng.integers(-5, 1000, 6), num_samples)
    kept = rng.random(num_samples) < 0.7
    rewards = np.where(kept, rng.choice([0.0, 0.55, 0.6, 1.0], num_samples), math.nan)
    return rewards, groups, kept


def check_advantages(advantages: Callable, samples: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    rewards, groups, kept = samples
    found = advantages(rewards, groups, kept)
    for index, (reward, group) in enumerate(zip(rewards, groups, strict=True)):
        others = [r for r, g, k in zip(rewards, groups, kept, strict=True) if g == group and k]
        assert found[index] == pytest.approx(reward - sum(others) / len(others) if kept[index] else 0.0, abs=1e-12)
    for group in groups:
        assert found[groups == group].sum() == pytest.approx(0.0, abs=1e-12)
    assert (found[~kept] == 0.0).all()


def test_advantages_against_a_loop(rng) -> None:
    for _ in range(50):
        check_advantages(advantages, draw_samples(rng))


def broken_masked(rewards, groups, kept):
    """What is not kept counts in the mean, with 0."""
    return advantages(np.nan_to_num(rewards), groups, np.ones_like(kept))


def broken_whole_batch(rewards, groups, kept):
    return advantages(rewards, np.zeros_like(groups), kept)


def broken_deviation(rewards, groups, kept):
    found = advantages(rewards, groups, kept)
    return found / (found.std() + 1e-4)


def broken_raw(rewards, groups, kept):
    return np.where(kept, rewards, 0.0)


@pytest.mark.parametrize("broken", [broken_masked, broken_whole_batch, broken_deviation, broken_raw])
def test_wrong_advantages_are_noticed(broken) -> None:
    rewards = np.array([1.0, 0.0, 0.6, 1.0, 0.0, 1.0, math.nan])
    groups = np.array([4, 4, 4, 9, 9, 9, 4])
    samples = rewards, groups, np.array([True] * 6 + [False])
    check_advantages(advantages, samples)
    with pytest.raises(AssertionError):
        check_advantages(broken, samples)


def test_role_weights(rng) -> None:
    found = rng.normal(size=12)
    assert role_weights(found, 1 / 9) == pytest.approx(found / 108)
    assert role_weights(np.zeros(0), 0.5).shape == (0,)
    # Leaving samples out does not make the others louder.
    assert role_weights(np.array([1.0, -1.0, 0.0, 0.0]), 1.0)[0] == 0.25
    for share in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="share of the loss"):
            role_weights(found, share)


def test_refused_samples() -> None:
    with pytest.raises(ValueError, match="not a finite number"):
        advantages(np.array([1.0, math.nan]), np.array([0, 0]), np.array([True, True]))


def contests(start: int, stop: int) -> list[Contest]:
    return [Contest(f"q{index}", f"e{index}", f"p{index}") for index in range(start, stop)]


def check_mixes(mix: Callable, rng: np.random.Generator) -> None:
    for _ in range(100):
        check_mix(mix, rng)


def check_mix(mix: Callable, rng: np.random.Generator) -> None:
    fresh, pool = contests(0, int(rng.integers(1, 40))), Pool(tuple(contests(100, 100 + int(rng.integers(0, 40)))))
    size, share = int(rng.integers(0, len(fresh) + 1)), float(rng.choice([0.0, 0.25, 0.5, 1.0]))
    mixed = mix(pool, fresh, size, share, rng)
    old = [contest for contest in mixed if contest in pool.contests]
    assert len(mixed) == len(set(mixed)) == size
    assert len(old) == min(math.floor(share * size), len(pool.contests))
    assert set(mixed) - set(old) <= set(fresh)


def test_the_replayed_share(rng) -> None:
    check_mixes(mix, rng)


def test_a_wrong_share_is_noticed(rng) -> None:
    def all_fresh(pool, fresh, size, share, rng):
        return mix(Pool(), fresh, size, share, rng)

    def twice(pool, fresh, size, share, rng):
        return [fresh[index] for index in rng.choice(len(fresh), size)]

    for broken in (all_fresh, twice):
        with pytest.raises(AssertionError):
            check_mixes(broken, rng)


def test_every_old_contest_can_come_back(rng) -> None:
    pool = Pool(tuple(contests(100, 110)))
    seen = {contest for _ in range(300) for contest in mix(pool, contests(0, 4), 4, 0.5, rng)}
    assert seen == {*pool.contests, *contests(0, 4)}


def test_the_pool_drops_the_oldest(rng) -> None:
    capacity = int(rng.integers(0, 8))
    pool, added = Pool(capacity=capacity), []
    for _ in range(5):
        fresh = contests(len(added), len(added) + int(rng.integers(0, 6)))
        pool, added = pool.add(fresh), [*added, *fresh]
        assert list(pool.contests) == added[max(len(added) - capacity, 0) :]


def test_refused_mixes(rng) -> None:
    with pytest.raises(ValueError, match=r"share is 1\.5"):
        mix(Pool(), contests(0, 4), 2, 1.5, rng)
    with pytest.raises(ValueError, match="5 contests cannot be drawn from 4"):
        mix(Pool(), contests(0, 4), 5, 0.5, rng)
    with pytest.raises(ValueError, match="-1 contests"):
        Pool(capacity=-1).add([])
