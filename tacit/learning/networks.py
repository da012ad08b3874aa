"""What does the history say about the goal and about what the human does next? One network, two heads and two more.

A feed-forward network on a compact summary of the history (planes: a fact a cell, and a few numbers without a place).
Each column of the world is one place with its heights as channels, so that convolutions over (x, z) see whole storeys
at once: on a CPU that is several times as fast as convolutions over all three axes. What is far apart belongs
together too: local blocks also pool over all places (Wu 2019, arXiv 1902.10565, section 3.3), and after each of them
every place asks all others (attention: Vaswani et al. 2017, arXiv 1706.03762).

Which kind a cell will be is mostly a kind that is there already: on the same storey, in line, next to it. So the goal's
logits are the sum of learned ones and of copies of what stands, in parts that the network chooses cell by cell and that
are the same for every kind (a copying mechanism: Gu et al. 2016, arXiv 1603.06393):

    logits(x, k) = prior(x, k) + learned(x, k) + Σ_i a_i(x) · everywhere_i(k) + Σ_j b_j(x) · near_j(x, k)
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int8, Key


class Heads(NamedTuple):
    """Logits: of each cell's kind in the goal, and of what the human does next."""

    goal: Float[Array, "X Y Z M"]
    place: Float[Array, "X Y Z"]
    """Of filling each cell; which kind, the goal's logits say."""
    remove: Float[Array, "X Y Z"]
    move: Float[Array, "6"]
    rest: Float[Array, ""]


class Sizes(NamedTuple):
    """How large a network is: the world, the planes that it sees, and its own width and depth."""

    shape: tuple[int, int, int]
    num_kinds: int
    num_planes: int
    """P, planes of numbers."""
    num_kind_planes: int
    """Q, planes of kinds."""
    num_traces: int
    """R, numbers a kind."""
    num_headings: int
    """D, numbers a direction."""
    num_scalars: int
    """S, numbers that belong to no place, kind or direction."""
    width: int
    depth: int
    embedding: int
    """Numbers into which the planes of a cell are condensed."""


class Dense(eqx.Module):
    """A linear map of the last axis."""

    weight: Float[Array, "I O"]
    bias: Float[Array, " O"]

    def __init__(self, num_in: int, num_out: int, scale: float, key: Key[Array, ""]):
        self.weight = jax.random.normal(key, (num_in, num_out)) * (scale / num_in**0.5)
        self.bias = jnp.zeros((num_out,))

    def __call__(self, x: Float[Array, "*S I"]) -> Float[Array, "*S O"]:
        """The map, x W + b. In rows, since XLA is slow in gradients of products with more axes."""
        rows = x.reshape(-1, x.shape[-1]) @ self.weight + self.bias[None]
        return rows.reshape(*x.shape[:-1], -1)


NEAR = ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2))
"""A place and the four next to it, in the 3 x 3 square around it."""


def neighbourhoods(x: Float[Array, "N U V C"]) -> Float[Array, "N U2 V2 5*C"]:
    """Every place that has four next to it, and these: a linear map of them is a convolution without the corners.

    As one matrix product it runs on every core of a CPU, which XLA's own convolution does not.
    """
    _, u, v, _ = x.shape
    return jnp.concatenate([x[:, i : u - 2 + i, j : v - 2 + j] for i, j in NEAR], -1)


class Sources(NamedTuple):
    """What can be copied: how much speaks for each kind."""

    everywhere: Float[Array, "N S M"]
    """For all cells alike."""
    near: tuple[Float[Array, "N U H V M"], ...]
    """For each cell of the inner world."""


def sources(standing: Int8[Array, "N X Y Z"], traces: Float[Array, "N M R"]) -> Sources:
    """By storey how much there is of each kind, and whether any; traces; each cell's neighbours, row, line and column.

    Kind 0 is nothing: it is not copied.
    """
    _, x, y, z = standing.shape
    is_kind = jax.nn.one_hot(standing, traces.shape[1]).at[..., 0].set(0.0)
    storeys = is_kind[:, 1:-1, :, 1:-1].sum((1, 3))
    inner = is_kind[:, 1:-1, 1:-1, 1:-1]
    lines = tuple(jnp.broadcast_to(inner.max(axis, keepdims=True), inner.shape) for axis in (1, 2, 3))
    neighbours = tuple(
        is_kind[:, 1 + i : x - 1 + i, 1 + j : y - 1 + j, 1 + k : z - 1 + k]
        for i, j, k in np.vstack([np.eye(3, dtype=int), -np.eye(3, dtype=int)]).tolist()
    )
    everywhere = [jnp.log1p(storeys) / 2.0, jnp.minimum(storeys, 1.0), jnp.swapaxes(traces, 1, 2)]
    return Sources(jnp.concatenate(everywhere, 1), neighbours + lines)


class Block(eqx.Module):
    """x + gelu(local(h) + pooled(h)) for all places but the outer ring, with h = x normalised."""

    scale: Float[Array, " W"]
    local: Dense
    pooled: Dense

    def __init__(self, width: int, key: Key[Array, ""]):
        local_key, pool_key = jax.random.split(key)
        self.scale = jnp.ones((width,))
        self.local = Dense(len(NEAR) * width, width, 0.5, local_key)
        self.pooled = Dense(2 * width, width, 0.3, pool_key)

    def __call__(self, x: Float[Array, "N U V W"]) -> Float[Array, "N U2 V2 W"]:
        """One residual step."""
        h = normalise(x, self.scale)
        pooled = self.pooled(summary(h[:, 1:-1, 1:-1]))
        return x[:, 1:-1, 1:-1] + jax.nn.gelu(self.local(neighbourhoods(h)) + pooled[:, None, None])


def summary(h: Float[Array, "N U V W"]) -> Float[Array, "N 2*W"]:
    """Mean and greatest of all places."""
    return jnp.concatenate([h.mean((1, 2)), h.max((1, 2))], -1)


class Exchange(eqx.Module):
    """Every place asks all others, then makes something of it: x + attention(h), then x + mlp(h), h = x normalised."""

    scale: Float[Array, " W"]
    ask: Dense
    hear: Dense
    own_scale: Float[Array, " W"]
    weigh: Dense
    conclude: Dense

    def __init__(self, width: int, key: Key[Array, ""]):
        ask_key, hear_key, weigh_key, conclude_key = jax.random.split(key, 4)
        self.scale = jnp.ones((width,))
        self.ask = Dense(width, 3 * width // 2, 1.0, ask_key)
        self.hear = Dense(width // 2, width, 0.5, hear_key)
        self.own_scale = jnp.ones((width,))
        self.weigh = Dense(width, width, 1.0, weigh_key)
        self.conclude = Dense(width, width, 0.5, conclude_key)

    def __call__(self, x: Float[Array, "N U V W"]) -> Float[Array, "N U V W"]:
        """Two residual steps."""
        num, u, v, _ = x.shape
        asked = self.ask(normalise(x, self.scale)).reshape(num, u * v, 3, NUM_VOICES, -1)
        query, key, value = (asked[:, :, at] for at in range(3))
        fits = jnp.einsum("nphd,nqhd->nhpq", query, key) / asked.shape[-1] ** 0.5
        heard = jnp.einsum("nhpq,nqhd->nphd", jax.nn.softmax(fits), value)
        x = x + self.hear(heard.reshape(num, u, v, -1))
        return x + self.conclude(jax.nn.gelu(self.weigh(normalise(x, self.own_scale))))


def normalise(x: Float[Array, "*S W"], scale: Float[Array, " W"]) -> Float[Array, "*S W"]:
    """Root mean square normalisation (Zhang and Sennrich 2019)."""
    size = jax.lax.rsqrt(jnp.square(x).mean(-1, keepdims=True) + 1e-6)
    return x * size * scale.reshape((1,) * (x.ndim - 1) + (-1,))


NUM_VOICES = 2
"""Heads of attention."""
RING = ((0, 0), (1, 1), (1, 1), (0, 0))
"""Fills the places of the outer ring, about which nothing is said."""


class Reading(NamedTuple):
    """What the network makes of N moments."""

    places: Float[Array, "N U V W"]
    """Of every column but the outer ring's."""
    copied: Sources


def per_cell(said: Float[Array, "N U V E"], num_heights: int) -> Float[Array, "N X Y Z D"]:
    """What a head says of each column, D numbers a cell; 0 in the outer ring."""
    num, x, z, _ = (padded := jnp.pad(said, RING)).shape
    return padded.reshape(num, x, z, num_heights, -1).transpose(0, 1, 3, 2, 4)


Said = TypeVar("Said")


def in_rows(say: Callable[..., Said], *moments: Array) -> Said:
    """What `say` makes of moments in a row, for any leading axes of theirs. The last array has one axis of its own."""
    batch = moments[-1].shape[:-1]
    said = say(*(leaf.reshape(-1, *leaf.shape[len(batch) :]) for leaf in moments))
    return jax.tree.map(lambda leaf: leaf.reshape(*batch, *leaf.shape[1:]), said)


class VoxelNetwork(eqx.Module):
    """Planes in, heads out. The goal's logits start at a prior's; in the outer ring, top and bottom they stay there."""

    prior: Float[Array, "X Y Z M"]
    embed: Float[Array, "F E"]
    stem: Float[Array, "Y E W"]
    broadcast: Dense
    place: Float[Array, "X Z W"]
    """What is known of each column before anything is seen."""
    blocks: tuple[tuple[Block, Exchange], ...]
    scale: Float[Array, " W"]
    goal_head: Dense
    copy_head: Dense
    action_head: Dense
    global_head: Dense
    sizes: Sizes = eqx.field(static=True)

    def __init__(self, sizes: Sizes, prior: Float[Array, "X Y Z M"], key: Key[Array, ""]):
        """`prior` is the probability of each kind at each cell before anything is seen, nowhere 0."""
        keys = iter(jax.random.split(key, 8 + 2 * sizes.depth))
        x, y, z = sizes.shape
        kinds, width, inner = sizes.num_kinds, sizes.width, y - 2
        num_everywhere, num_near = 2 * y + sizes.num_traces, 9
        num_globals = kinds * num_everywhere + 6 * sizes.num_headings + sizes.num_scalars
        self.sizes = sizes
        self.prior = jnp.log(prior)
        features = sizes.num_planes + kinds * sizes.num_kind_planes
        self.embed = jax.random.normal(next(keys), (features, sizes.embedding)) / features**0.5
        self.stem = jax.random.normal(next(keys), (y, sizes.embedding, width)) / (y * sizes.embedding) ** 0.5
        self.broadcast = Dense(num_globals, width, 0.5, next(keys))
        self.place = 0.02 * jax.random.normal(next(keys), (x, z, width))
        self.blocks = tuple((Block(width, next(keys)), Exchange(width, next(keys))) for _ in range(sizes.depth))
        self.scale = jnp.ones((width,))
        self.goal_head = Dense(width, inner * kinds, 0.1, next(keys))
        self.copy_head = Dense(width, inner * (num_everywhere + num_near), 0.0, next(keys))
        self.action_head = Dense(width, y * 2, 0.1, next(keys))
        self.global_head = Dense(2 * width, 7, 0.1, next(keys))

    def __call__(
        self,
        cells: Float[Array, "*B P X Y Z"],
        kinds: Int8[Array, "*B Q X Y Z"],
        traces: Float[Array, "*B M R"],
        heading: Float[Array, "*B 6 D"],
        scalars: Float[Array, "*B S"],
    ) -> Heads:
        """The heads of each moment. To learn from many, hand them over at once: under `jax.vmap` gradients are slow."""
        return in_rows(lambda *rows: self.speak(self.read(*rows)), cells, kinds, traces, heading, scalars)

    def read(
        self,
        cells: Float[Array, "N P X Y Z"],
        kinds: Int8[Array, "N Q X Y Z"],
        traces: Float[Array, "N M R"],
        heading: Float[Array, "N 6 D"],
        scalars: Float[Array, "N S"],
    ) -> Reading:
        """What is made of N moments, before anything is said."""
        copied = sources(kinds[:, 0], traces)
        everywhere = jnp.concatenate(
            [leaf.reshape(len(scalars), -1) for leaf in (copied.everywhere, heading, scalars)], -1
        )
        h = self.columns(cells, kinds) + self.broadcast(everywhere)[:, None, None] + self.place[None]
        for number, (look, exchange) in enumerate(self.blocks):
            h = exchange(look(h if number == 0 else jnp.pad(h, RING)))
        return Reading(normalise(h, self.scale), copied)

    def speak(self, reading: Reading) -> Heads:
        """The heads of N readings."""
        h, copied = reading
        num, (x, y, z) = len(h), self.sizes.shape
        goal, parts = (
            head(h).reshape(num, x - 2, z - 2, y - 2, -1).transpose(0, 1, 3, 2, 4)
            for head in (self.goal_head, self.copy_head)
        )
        num_everywhere = copied.everywhere.shape[1]
        goal = goal + jnp.einsum("nuhvs,nsm->nuhvm", parts[..., :num_everywhere], copied.everywhere)
        for number, near in enumerate(copied.near, start=num_everywhere):
            goal = goal + parts[..., number, None] * near
        inside = jnp.pad(goal, ((0, 0), (1, 1), (1, 1), (1, 1), (0, 0)))
        actions = per_cell(self.action_head(h), y)
        overall = self.global_head(summary(h))
        return Heads(self.prior[None] + inside, actions[..., 0], actions[..., 1], overall[:, :6], overall[:, 6])

    def columns(self, cells: Float[Array, "N P X Y Z"], kinds: Int8[Array, "N Q X Y Z"]) -> Float[Array, "N X Z W"]:
        """What stands in each column and when it came about: each cell is condensed alike, then its height matters."""
        num, (x, y, z) = len(cells), self.sizes.shape
        is_kind = jax.nn.one_hot(kinds, self.sizes.num_kinds)
        facts = jnp.concatenate(
            [cells.transpose(0, 2, 4, 3, 1), is_kind.transpose(0, 2, 4, 3, 1, 5).reshape(num, x, z, y, -1)], -1
        )
        weight = jnp.einsum("fe,yew->yfw", self.embed, self.stem).reshape(-1, self.sizes.width)
        return (facts.reshape(num * x * z, -1) @ weight).reshape(num, x, z, -1)


class Counsel(NamedTuple):
    """Logits of what to do oneself, beside what is said of the goal and of the human, and what is to be hoped for."""

    heads: Heads
    place: Float[Array, "X Y Z"]
    remove: Float[Array, "X Y Z"]
    move: Float[Array, "6"]
    rest: Float[Array, ""]
    value: Float[Array, ""]
    """The discounted sum of rewards to come."""


VALUE_UNIT = 10.0
"""The value head speaks in tens: what is learned with small steps should be of the size of one."""


class CounselNetwork(eqx.Module):
    """A `VoxelNetwork` with a policy head and a value head beside its own; untrained, both say 0."""

    voxels: VoxelNetwork
    policy_head: Dense
    rest_head: Dense
    value_head: Dense

    def __init__(self, voxels: VoxelNetwork, key: Key[Array, ""]):
        width, heights = voxels.sizes.width, voxels.sizes.shape[1]
        policy_key, rest_key, value_key = jax.random.split(key, 3)
        self.voxels = voxels
        self.policy_head = Dense(width, 2 * heights, 0.0, policy_key)
        self.rest_head = Dense(2 * width, 7, 0.0, rest_key)
        self.value_head = Dense(2 * width, 1, 0.0, value_key)

    def __call__(
        self,
        cells: Float[Array, "*B P X Y Z"],
        kinds: Int8[Array, "*B Q X Y Z"],
        traces: Float[Array, "*B M R"],
        heading: Float[Array, "*B 6 D"],
        scalars: Float[Array, "*B S"],
    ) -> Counsel:
        """What is said of each moment; as with `VoxelNetwork`, hand many over at once."""
        return in_rows(lambda *rows: self.speak(self.voxels.read(*rows)), cells, kinds, traces, heading, scalars)

    def speak(self, reading: Reading) -> Counsel:
        """What is said of N readings."""
        edits = per_cell(self.policy_head(reading.places), self.voxels.sizes.shape[1])
        overall = summary(reading.places)
        rest, value = self.rest_head(overall), VALUE_UNIT * self.value_head(overall)[:, 0]
        return Counsel(self.voxels.speak(reading), edits[..., 0], edits[..., 1], rest[:, :6], rest[:, 6], value)
