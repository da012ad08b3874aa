"""Lavaland: someone designs a reward where there is no lava, and the assistant acts where there is.

A designer chooses a proxy reward by how well the agent that optimises it does in a training land of grass, dirt and a
target. Then the assistant crosses a test land to the target, and there is lava on it, about which the designer had no
occasion to think. Hadfield-Menell, Milli, Abbeel, Russell and Dragan 2017, "Inverse Reward Design", arXiv 1711.02827.

`make` is the assistance game of that: on the first turn the human chooses a proxy, and then the assistant walks. `maps`
draws lands at random, each with a way through lava that tempts and a detour that is worth taking, with proof. Axis
letters: S cells (row by row), A moves, D features (one for each terrain), N weight vectors, U of them without lava.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from tacit.arrays import Numbers, numbers
from tacit.games.tabular import TabularGame

GRASS, DIRT, TARGET, LAVA, DECOY = range(5)
"""The terrains, and by default the features. Decoys look like a target to one of two sensors (`SENSORS`)."""

LETTERS = "GDTL?"
"""One for each terrain, to write a land as rows of text."""

INDICATORS = np.eye(4)
"""`looks[terrain]`, the features of a cell: which terrain it is. For lands without decoys."""

SENSORS = np.array([[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 1], [0, 0, 1, 0, 0]], np.float64)
"""Features of each terrain with the target told by two sensors (columns 2 and 3) that agree but on a decoy."""

MOVES = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
"""Stay (the pass), up, down, left, right."""


class Land(NamedTuple):
    """Where a reward was designed, where the assistant acts with it, the first cell of both and how long a walk is."""

    training: Int[np.ndarray, "rows columns"]
    test: Int[np.ndarray, "rows columns"]
    start: tuple[int, int]
    horizon: int


class WalkArrays(NamedTuple):
    """What `planning.feature_world` takes: the walk in one terrain, which ends at the target.

    Walking into a cell collects its features once more each turn; at the target one stays and collects nothing.
    """

    transitions: Float[np.ndarray, "S A S"]
    features: Float[np.ndarray, "S A D"]
    initial: Float[np.ndarray, " S"]
    legal: Bool[np.ndarray, "S A"]


def terrain(*rows: str) -> Int[np.ndarray, "rows columns"]:
    """A terrain written as rows of letters: G grass, D dirt, T target, L lava, ? decoy."""
    return np.array([[LETTERS.index(letter) for letter in row] for row in rows])


CLASSIC = Land(
    terrain("DDDDDDD", "DDDDDDD", "DDDDDDD", "DDDDDDT", "DDDDDDD", "GGGGGGG", "GGGGGGG"),
    terrain("DDDDDDD", "DDDLDDD", "DDDLDDD", "DDDLDDT", "DDDLDDD", "GGGLGGG", "GGGLGGG"),
    (3, 0),
    14,
)
"""A wall of lava with one way round: 4 dirt, 1 lava and the target straight on, 11 dirt and the target round it."""

DECOYED = Land(terrain("DDDDD", "DDDDT", "DDDDD"), terrain("DD?DD", "DDDDT", "DDDDD"), (1, 0), 10)
"""A decoy on the way to the target."""

SMALL = Land(terrain("DGT", "DDD"), terrain("DLT", "DDD"), (0, 0), 4)
"""The smallest land with a choice in training and a detour in the test."""

PROXIES = np.array([[-0.5, -0.1, 1.0, 0.0], [-0.1, -0.1, 1.0, 0.0]])
"""Rewards the human may hand over on `SMALL`: mind the grass, or do not. Neither says anything about lava."""

PROXY_COUNTS = np.array([[0.0, 3.0, 1.0, 0.0], [1.0, 0.0, 1.0, 0.0]])
"""What the agents that optimise `PROXIES` collect in training, as `planning.feature_world.feature_counts` finds."""

WEIGHTS = np.array([[grass, -0.1, 1.0, lava] for grass in (-0.5, -0.1) for lava in (-1.0, 1.0)])
"""What the human may want on `SMALL`."""


def make(
    land: Land = SMALL, counts: Numbers = PROXY_COUNTS, weights: Numbers = WEIGHTS, prior: Numbers | None = None
) -> TabularGame:
    """The game of one design and one walk; theta is an index into `weights` (N x D), even unless `prior` is given.

    State 0 is the drawing board: the human picks one of K proxies and is paid θ · counts[k], what the agent that
    optimises it earns in training. State 1 + cell is the walk in the test land, where the human only passes.
    """
    walk = walk_arrays(land.test, land.start)
    cells, moves, width = walk.features.shape
    collected, wanted = numbers("counts", counts, 2), numbers("weights", weights, 2)
    for name, rows in (("counts", collected), ("weights", wanted)):
        if rows.shape[1] != width:
            raise ValueError(f"{name} has {rows.shape[1]} columns; there are {width} features, one for each terrain.")
    proxies = len(collected)
    transitions = np.zeros((1 + cells, proxies, moves, 1 + cells))
    transitions[0, :, :, 1:] = walk.initial
    transitions[1:, :, :, 1:] = walk.transitions[:, None]
    rewards = np.zeros((len(wanted), 1 + cells, proxies, moves))
    rewards[:, 0] = (wanted @ collected.T)[:, :, None]
    rewards[:, 1:] = np.einsum("nd,sad->nsa", wanted, walk.features)[:, :, None]
    return TabularGame(
        transitions,
        rewards,
        prior=np.full(len(wanted), 1.0 / len(wanted)) if prior is None else prior,
        initial=np.eye(1 + cells)[0],
        horizon=1 + land.horizon,
        legal_human=np.vstack([np.ones((1, proxies), bool), np.tile(np.arange(proxies) == 0, (cells, 1))]),
        legal_assistant=np.vstack([np.arange(moves) == 0, walk.legal]),
        terminal=np.append(False, (land.test == TARGET).ravel()),
    )


def walk_arrays(
    ground: Int[np.ndarray, "rows columns"], start: tuple[int, int], looks: Numbers = INDICATORS
) -> WalkArrays:
    """The walk from `start`; `looks[terrain]` are the features of a cell (M x D), or `looks[row, column]` of each.

    Walking off the land is not legal, nor is anything but staying at a target or a decoy.
    """
    after, legal = _next_cells(ground)
    given = np.asarray(looks, np.float64)
    seen = (given[ground] if given.ndim == 2 else given).reshape(ground.size, -1)
    ends = np.isin(ground, (TARGET, DECOY)).ravel()
    features = np.where(ends[:, None, None], 0.0, seen[after])
    first = np.eye(ground.size)[start[0] * ground.shape[1] + start[1]]
    return WalkArrays(np.eye(ground.size)[after], features, first, legal)


def raw_looks(
    ground: Int[np.ndarray, "rows columns"], means: Float[np.ndarray, "M D"], noise: float, key: Key[Array, ""]
) -> Float[np.ndarray, "rows columns D"]:
    """What each cell looks like to a camera: its terrain's mean and Gaussian noise; no feature says what it is."""
    return means[ground] + noise * np.asarray(jax.random.normal(key, (*ground.shape, means.shape[1])), np.float64)


class Ways(NamedTuple):
    """The best walks that never enter lava and the best that do, for each weight vector; -inf where there is none."""

    clear: Float[np.ndarray, " N"]
    through: Float[np.ndarray, " N"]
    path: Int[np.ndarray, "N T"]
    """The cells that a best clear walk enters."""


def best_ways(
    ground: Int[np.ndarray, "rows columns"], start: tuple[int, int], horizon: int, weights: Float[np.ndarray, "N D"]
) -> Ways:
    """The best walks in a land whose features are its terrains, by backward induction."""
    after, legal = _next_cells(ground)
    kinds = ground.ravel()
    gain = np.where((kinds == TARGET)[:, None], 0.0, weights[:, kinds[after]])
    gain = np.where(legal, gain, -np.inf)
    lava = kinds[after] == LAVA
    clear, through = np.zeros((len(weights), kinds.size)), np.full((len(weights), kinds.size), -np.inf)
    choices = np.empty((horizon, len(weights), kinds.size), int)
    for turn in reversed(range(horizon)):
        either = np.maximum(clear, through)
        through = (gain + np.where(lava, either[:, after], through[:, after])).max(-1)
        clean = gain + np.where(lava, -np.inf, clear[:, after])
        choices[turn], clear = clean.argmax(-1), clean.max(-1)
    home = start[0] * ground.shape[1] + start[1]
    here, path = np.full(len(weights), home), []
    for choice in choices:
        here = after[here, choice[np.arange(len(here)), here]]
        path.append(here)
    return Ways(clear[:, home], through[:, home], np.stack(path, -1))


class Proof(NamedTuple):
    """Why a detour is worth taking; both margins are above 0 if it is.

    `temptation`: by how much the proxy, taken literally, prefers the best way through lava to the best clear way.
    `worth`: by how much one clear way beats every way through lava, whatever was meant about what has been seen, if
    lava is as bad as it may be. Then no plan that enters lava, drawing lots or not, is best at worst, for any reference
    point that met no lava: to walk the clear way instead is better under the hypothesis that was worst.
    """

    temptation: float
    worth: float


def prove(land: Land, proxy: Float[np.ndarray, " D"], seen: Float[np.ndarray, "U 3"], worst_lava: float) -> Proof:
    """Weigh the ways through a test land, for hypotheses that pair each row of `seen` with `worst_lava`."""
    literal = best_ways(land.test, land.start, land.horizon, proxy[None])
    rows = np.column_stack([seen, np.full(len(seen), worst_lava)])
    ways = best_ways(land.test, land.start, land.horizon, rows)
    kinds = land.test.ravel()[ways.path]
    arrived = np.cumsum(kinds == TARGET, -1) - (kinds == TARGET) > 0
    counts = np.stack([((kinds == kind) & ~arrived).sum(-1) for kind in range(4)], -1)
    return Proof(
        float(literal.through[0] - literal.clear[0]),
        float((rows @ counts.T - ways.through[:, None]).min(0).max()),
    )


def maps(
    key: Key[Array, ""],
    num_maps: int,
    proxy: Numbers,
    seen: Numbers,
    worst_lava: float,
    shape: tuple[int, int] = (5, 5),
    horizon: int = 10,
) -> Iterator[Land]:
    """Draw lands whose tests have lava, with a detour that `prove` says is worth taking, for hypotheses as it takes.

    Cells are grass or dirt, the start and the target lie on opposite edges, and a wall of lava with gaps stands between
    them; lands that prove nothing are drawn again.
    """
    literal, hypotheses = numbers("proxy", proxy, 1, (4,)), numbers("seen", seen, 2)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    found = 0
    for tries in itertools.count():
        if found == num_maps:
            return
        if tries > 1000 * (1 + found):
            raise ValueError(
                f"Only {found} of {tries} lands had a detour worth taking; make lava worse or moves cheaper."
            )
        land = _draw(rng, shape, horizon)
        proof = prove(land, literal, hypotheses, worst_lava)
        if min(proof) > MARGIN:
            found += 1
            yield land


MARGIN = 1e-3
"""The least margin that counts as proof: far above rounding, and above a planner's tolerance."""


def _draw(rng: np.random.Generator, shape: tuple[int, int], horizon: int) -> Land:
    """Grass and dirt, a start on the left and a target on the right; for the test, lava on some columns between."""
    rows, columns = shape
    training = np.where(rng.random(shape) < rng.uniform(0.1, 0.5), GRASS, DIRT)
    start, end = (int(rng.integers(rows)), 0), (int(rng.integers(rows)), columns - 1)
    test = training.copy()
    for column in rng.choice(np.arange(1, columns - 1), rng.integers(1, 3), replace=False):
        test[rng.random(rows) < rng.uniform(0.4, 0.9), column] = LAVA
    training[start] = test[start] = DIRT
    training[end] = test[end] = TARGET
    return Land(training, test, start, horizon)


def _next_cells(ground: Int[np.ndarray, "rows columns"]) -> tuple[Int[np.ndarray, "S A"], Bool[np.ndarray, "S A"]]:
    """Where each move leads from each cell, and which moves are legal; an illegal one stays."""
    rows, columns = ground.shape
    row, column = (index.ravel()[:, None] for index in np.indices(ground.shape))
    down, right = row + [move[0] for move in MOVES], column + [move[1] for move in MOVES]
    legal = (down >= 0) & (down < rows) & (right >= 0) & (right < columns)
    legal[np.isin(ground, (TARGET, DECOY)).ravel(), 1:] = False
    stay = np.arange(ground.size)[:, None]
    return np.where(legal, down * columns + right, stay), legal
