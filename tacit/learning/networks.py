"""What does the history say about the goal and about what the human does next? One network, two heads.

A feed-forward network on a compact summary of the history (planes: a fact a cell, and a few numbers without a place).
Each column of the world is one place with its heights as channels, so that 3 x 3 convolutions over (x, z) see whole
storeys at once: on a CPU that is several times as fast as convolutions over all three axes. Every block also pools over
all places, since what is far apart belongs together (global pooling: Wu 2019, arXiv 1902.10565, section 3.3).

Which kind a cell will be is mostly a kind that is there already: on the same storey, in line, next to it. So the goal's
logits are the sum of learned ones and of copies of what stands, in parts that the network chooses cell by cell and that
are the same for every kind (a copying mechanism: Gu et al. 2016, arXiv 1603.06393):

    logits(x, k) = prior(x, k) + learned(x, k) + Σ_i a_i(x) · everywhere_i(k) + Σ_j b_j(x) · near_j(x, k)
"""

from typing import NamedTuple

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
        """The map, x W + b."""
        return x @ self.weight + self.bias.reshape((1,) * (x.ndim - 1) + (-1,))


def neighbourhoods(x: Float[Array, "U V C"]) -> Float[Array, "U2 V2 9*C"]:
    """The 3 x 3 neighbourhood of every place that has one, row by row: a linear map of these is a convolution.

    As one matrix product it runs on every core of a CPU, which XLA's own convolution does not.
    """
    u, v, _ = x.shape
    shifted = [x[i : u - 2 + i, j : v - 2 + j] for i in range(3) for j in range(3)]
    return jnp.concatenate(shifted, -1)


class Sources(NamedTuple):
    """What can be copied: how much speaks for each kind."""

    everywhere: Float[Array, "S M"]
    """For all cells alike."""
    near: tuple[Float[Array, "U H V M"], ...]
    """For each cell of the inner world."""


def sources(standing: Int8[Array, "X Y Z"], traces: Float[Array, "M R"]) -> Sources:
    """By storey how much there is of each kind, and whether any; traces; each cell's neighbours, row, line and column.

    Kind 0 is nothing: it is not copied.
    """
    is_kind = jax.nn.one_hot(standing, traces.shape[0]).at[..., 0].set(0.0)
    storeys = is_kind[1:-1, :, 1:-1].sum((0, 2))
    inner = is_kind[1:-1, 1:-1, 1:-1]
    lines = tuple(jnp.broadcast_to(inner.max(axis, keepdims=True), inner.shape) for axis in range(3))
    neighbours = tuple(
        is_kind[1 + x : is_kind.shape[0] - 1 + x, 1 + y : is_kind.shape[1] - 1 + y, 1 + z : is_kind.shape[2] - 1 + z]
        for x, y, z in np.vstack([np.eye(3, dtype=int), -np.eye(3, dtype=int)]).tolist()
    )
    everywhere = [jnp.log1p(storeys) / 2.0, jnp.minimum(storeys, 1.0), traces.T]
    return Sources(jnp.concatenate(everywhere), neighbours + lines)


class Block(eqx.Module):
    """x + gelu(local(h) + pooled(h)) for all places but the outer ring, with h = x normalised."""

    scale: Float[Array, " W"]
    local: Dense
    pooled: Dense

    def __init__(self, width: int, key: Key[Array, ""]):
        local_key, pool_key = jax.random.split(key)
        self.scale = jnp.ones((width,))
        self.local = Dense(9 * width, width, 0.5, local_key)
        self.pooled = Dense(2 * width, width, 0.3, pool_key)

    def __call__(self, x: Float[Array, "U V W"]) -> Float[Array, "U2 V2 W"]:
        """One residual step."""
        h = normalise(x, self.scale)
        inner = h[1:-1, 1:-1]
        pooled = self.pooled(jnp.concatenate([inner.mean((0, 1)), inner.max((0, 1))]))
        return x[1:-1, 1:-1] + jax.nn.gelu(self.local(neighbourhoods(h)) + pooled[None, None])


def normalise(x: Float[Array, "*S W"], scale: Float[Array, " W"]) -> Float[Array, "*S W"]:
    """Root mean square normalisation (Zhang and Sennrich 2019)."""
    size = jax.lax.rsqrt(jnp.square(x).mean(-1, keepdims=True) + 1e-6)
    return x * size * scale.reshape((1,) * (x.ndim - 1) + (-1,))


class VoxelNetwork(eqx.Module):
    """Planes in, heads out. The goal's logits start at a prior's; in the outer ring, top and bottom they stay there."""

    prior: Float[Array, "X Y Z M"]
    embed: Dense
    embed_kinds: Dense
    stem: Dense
    broadcast: Dense
    place: Float[Array, "X Z W"]
    """What is known of each column before anything is seen."""
    blocks: tuple[Block, ...]
    scale: Float[Array, " W"]
    goal_head: Dense
    copy_head: Dense
    action_head: Dense
    global_head: Dense
    sizes: Sizes = eqx.field(static=True)

    def __init__(self, sizes: Sizes, prior: Float[Array, "X Y Z M"], key: Key[Array, ""]):
        """`prior` is the probability of each kind at each cell before anything is seen, nowhere 0."""
        keys = iter(jax.random.split(key, 9 + sizes.depth))
        x, y, z = sizes.shape
        kinds, width, inner = sizes.num_kinds, sizes.width, y - 2
        num_everywhere, num_near = 2 * y + sizes.num_traces, 9
        num_globals = kinds * num_everywhere + 6 * sizes.num_headings + sizes.num_scalars
        self.sizes = sizes
        self.prior = jnp.log(prior)
        self.embed = Dense(sizes.num_planes, sizes.embedding, 1.0, next(keys))
        self.embed_kinds = Dense(kinds * sizes.num_kind_planes, sizes.embedding, 1.0, next(keys))
        self.stem = Dense(y * sizes.embedding, width, 1.0, next(keys))
        self.broadcast = Dense(num_globals, width, 0.5, next(keys))
        self.place = 0.02 * jax.random.normal(next(keys), (x, z, width))
        self.blocks = tuple(Block(width, next(keys)) for _ in range(sizes.depth))
        self.scale = jnp.ones((width,))
        self.goal_head = Dense(width, inner * kinds, 0.1, next(keys))
        self.copy_head = Dense(width, inner * (num_everywhere + num_near), 0.0, next(keys))
        self.action_head = Dense(width, y * 2, 0.1, next(keys))
        self.global_head = Dense(2 * width, 7, 0.1, next(keys))

    def __call__(
        self,
        cells: Float[Array, "P X Y Z"],
        kinds: Int8[Array, "Q X Y Z"],
        traces: Float[Array, "M R"],
        heading: Float[Array, "6 D"],
        scalars: Float[Array, " S"],
    ) -> Heads:
        """The heads for one moment; `jax.vmap` it over many."""
        x, y, z = self.sizes.shape
        is_kind = jax.nn.one_hot(jnp.moveaxis(kinds, 0, -1), self.sizes.num_kinds).reshape(x, y, z, -1)
        planes = self.embed(jnp.moveaxis(cells, 0, -1)) + self.embed_kinds(is_kind)
        columns = self.stem(planes.transpose(0, 2, 1, 3).reshape(x, z, -1))
        copied = sources(kinds[0], traces)
        everywhere = jnp.concatenate([copied.everywhere.reshape(-1), heading.reshape(-1), scalars])
        h = columns + self.broadcast(everywhere)[None, None] + self.place
        ring = ((1, 1), (1, 1), (0, 0))
        for number, block in enumerate(self.blocks):
            h = block(h if number == 0 else jnp.pad(h, ring))
        h = normalise(h, self.scale)
        goal, parts = (
            head(h).reshape(x - 2, z - 2, y - 2, -1).transpose(0, 2, 1, 3) for head in (self.goal_head, self.copy_head)
        )
        num_everywhere = copied.everywhere.shape[0]
        goal = goal + parts[..., :num_everywhere] @ copied.everywhere
        for number, near in enumerate(copied.near, start=num_everywhere):
            goal = goal + parts[..., number, None] * near
        actions = jnp.pad(self.action_head(h), ring).reshape(x, z, y, 2).transpose(0, 2, 1, 3)
        overall = self.global_head(jnp.concatenate([h.mean((0, 1)), h.max((0, 1))]))
        inside = jnp.pad(goal, ((1, 1), (1, 1), (1, 1), (0, 0)))
        return Heads(self.prior + inside, actions[..., 0], actions[..., 1], overall[:6], overall[6])
