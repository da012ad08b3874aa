"""On which devices does a training run? Rows of worlds and lessons are shared out among all, of all processes.

What is learned is copied to each. Every process makes the same calls with the same seed; they find one another by
`jax.distributed.initialize`. So a training computes the same numbers on any devices that get whole groups of worlds,
but for the order of sums.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

Tree = TypeVar("Tree")
AXIS = "rows"
ROWS, COPIES = PartitionSpec(AXIS), PartitionSpec()


def mesh() -> Mesh:
    """All devices, in a row."""
    return Mesh(np.asarray(jax.devices()), (AXIS,))


def placed(tree: Tree, spec: PartitionSpec) -> Tree:
    """The tree with its arrays on all devices: with ROWS in equal parts of their first axis, with COPIES as a whole."""
    where = NamedSharding(mesh(), spec)

    def put(leaf: Any) -> Any:
        if not eqx.is_array(leaf):
            return leaf
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):  # of these only the words can go to other processes
            words = jax.device_put(jax.random.key_data(leaf), where)
            return jax.random.wrap_key_data(words, impl=jax.random.key_impl(leaf))
        return jax.device_put(leaf, where)

    return jax.tree.map(put, tree)


def here(tree: Tree) -> Tree:
    """Arrays of which every device has a copy, on this process's first device alone."""
    return jax.tree.map(lambda leaf: leaf.addressable_data(0) if isinstance(leaf, jax.Array) else leaf, tree)


def whole(tree: Tree) -> Tree:
    """The tree as one process can write it down, whichever devices its arrays are on; all processes have to ask."""
    return here(placed(tree, COPIES))


def on_each(work: Callable[..., Any], copies: Any, *rows: Any) -> Any:
    """`work(copies, *rows)` on every device, each with its own part of the rows; what comes back are rows again."""
    arrays, rest = eqx.partition(copies, eqx.is_array)
    run = jax.shard_map(
        lambda arrays, *rows: work(eqx.combine(arrays, rest), *rows),
        mesh=mesh(),
        in_specs=(COPIES, *(ROWS for _ in rows)),
        out_specs=ROWS,
        check_vma=False,  # it would refuse every loop that begins with a constant
    )
    return run(arrays, *rows)
