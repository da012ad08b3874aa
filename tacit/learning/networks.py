"""What does the history say about the goal and about what the human does next? One network, two heads.

A feed-forward network on a compact summary of the history (planes: a fact a cell, and a few numbers without a place).
Each column of the world is one place with its heights as channels, so that 3 x 3 convolutions over (x, z) see whole
storeys at once: on a CPU that is several times as fast as convolutions over all three axes. Every block also pools over
all places, since materials are the same all round a house (global pooling: Wu 2019, arXiv 1902.10565, section 3.3).
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key


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
    """P, planes a cell."""
    num_kind_planes: int
    """Q, planes a cell and kind."""
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


class Block(eqx.Module):
    """x + gelu(local(h) + pooled(h)), with h = x normalised."""

    scale: Float[Array, " W"]
    local: Dense
    pooled: Dense

    def __init__(self, width: int, key: Key[Array, ""]):
        local_key, pool_key = jax.random.split(key)
        self.scale = jnp.ones((width,))
        self.local = Dense(9 * width, width, 0.5, local_key)
        self.pooled = Dense(2 * width, width, 0.3, pool_key)

    def __call__(self, x: Float[Array, "U V W"]) -> Float[Array, "U V W"]:
        """One residual step."""
        h = normalise(x, self.scale)
        pooled = self.pooled(jnp.concatenate([h.mean((0, 1)), h.max((0, 1))]))
        around = neighbourhoods(jnp.pad(h, ((1, 1), (1, 1), (0, 0))))
        return x + jax.nn.gelu(self.local(around) + pooled[None, None])


def normalise(x: Float[Array, "*S W"], scale: Float[Array, " W"]) -> Float[Array, "*S W"]:
    """Root mean square normalisation (Zhang and Sennrich 2019)."""
    size = jax.lax.rsqrt(jnp.square(x).mean(-1, keepdims=True) + 1e-6)
    return x * size * scale.reshape((1,) * (x.ndim - 1) + (-1,))


class VoxelNetwork(eqx.Module):
    """Planes in, heads out. The goal's logits start at a prior's; in the outer ring, top and bottom they stay there."""

    prior: Float[Array, "X Y Z M"]
    embed: Dense
    stem: Dense
    broadcast: Dense
    place: Float[Array, "U V W"]
    """What is known of each column before anything is seen."""
    blocks: tuple[Block, ...]
    scale: Float[Array, " W"]
    goal_head: Dense
    action_head: Dense
    global_head: Dense
    sizes: Sizes = eqx.field(static=True)

    def __init__(self, sizes: Sizes, prior: Float[Array, "X Y Z M"], key: Key[Array, ""]):
        """`prior` is the probability of each kind at each cell before anything is seen, nowhere 0."""
        keys = iter(jax.random.split(key, 7 + sizes.depth))
        x, y, z = sizes.shape
        kinds, width, inner = sizes.num_kinds, sizes.width, y - 2
        num_planes = sizes.num_planes + kinds * sizes.num_kind_planes
        num_globals = kinds * sizes.num_traces + 6 * sizes.num_headings + sizes.num_scalars
        self.sizes = sizes
        self.prior = jnp.log(prior)
        self.embed = Dense(num_planes, sizes.embedding, 1.0, next(keys))
        self.stem = Dense(9 * y * sizes.embedding, width, 1.0, next(keys))
        self.broadcast = Dense(num_globals, width, 0.5, next(keys))
        self.place = 0.02 * jax.random.normal(next(keys), (x - 2, z - 2, width))
        self.blocks = tuple(Block(width, next(keys)) for _ in range(sizes.depth))
        self.scale = jnp.ones((width,))
        self.goal_head = Dense(width, inner * kinds, 0.1, next(keys))
        self.action_head = Dense(width, y * 2, 0.1, next(keys))
        self.global_head = Dense(2 * width, 7, 0.1, next(keys))

    def __call__(
        self,
        cells: Float[Array, "X Y Z P"],
        kinds: Float[Array, "X Y Z M Q"],
        traces: Float[Array, "M R"],
        heading: Float[Array, "6 D"],
        scalars: Float[Array, " S"],
    ) -> Heads:
        """The heads for one moment; `jax.vmap` it over many."""
        x, y, z = self.sizes.shape
        planes = self.embed(jnp.concatenate([cells, kinds.reshape(x, y, z, -1)], -1))
        columns = self.stem(neighbourhoods(planes.transpose(0, 2, 1, 3).reshape(x, z, -1)))
        everywhere = self.broadcast(jnp.concatenate([traces.reshape(-1), heading.reshape(-1), scalars]))
        h = columns + everywhere[None, None] + self.place
        for block in self.blocks:
            h = block(h)
        h = normalise(h, self.scale)
        goal = self.goal_head(h).reshape(x - 2, z - 2, y - 2, -1).transpose(0, 2, 1, 3)
        actions = jnp.pad(self.action_head(h), ((1, 1), (1, 1), (0, 0))).reshape(x, z, y, 2).transpose(0, 2, 1, 3)
        overall = self.global_head(jnp.concatenate([h.mean((0, 1)), h.max((0, 1))]))
        inside = jnp.pad(goal, ((1, 1), (1, 1), (1, 1), (0, 0)))
        return Heads(self.prior + inside, actions[..., 0], actions[..., 1], overall[:6], overall[6])
