"""A study of six parts: two rows of three seeds; each says what it is and where it was done."""

import os

import jax

from tacit.studies.claims import Claim, near

ROWS, SEEDS = ("double", "square"), (3, 5, 8)


def parts(tier: str) -> list[tuple[str, int]]:
    assert tier == "tiny"
    return [(row, seed) for row in ROWS for seed in SEEDS]


def measure(part: tuple[str, int]) -> tuple[str, int, float, int]:
    row, seed = part
    drawn = float(jax.random.uniform(jax.random.key(seed)))
    return row, seed, 2 * drawn if row == "double" else drawn**2, os.getpid()


def conclude(tier: str, found: list[tuple[str, int, float, int]]) -> list[Claim]:
    assert [(row, seed) for row, seed, _, _ in found] == parts(tier)
    elsewhere = float(os.getpid() not in {process for *_, process in found})
    claims = [near(f"{row}_{seed}", value, value, 0.0, "itself") for row, seed, value, _ in found]
    return [*claims, near("elsewhere", elsewhere, float(elsewhere), 0.0, "itself")]


def make(tier: str, data: object) -> list[Claim]:
    del data
    return conclude(tier, [measure(part) for part in parts(tier)])
