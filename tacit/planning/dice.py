"""Where do millions of random numbers a second come from? A key that hashes, a tenth of the work of JAX's own.

JAX's default keys are cryptographic in descent (Threefry) and take most of the time of a simulated step. A search only
needs numbers that look even and unrelated. Here a key is two words; child keys and random bits are hashes of them and a
counter, by a bijection of 32 bits whose avalanche is close to ideal (Wellons 2018, "hash-prospector", the two-round
function with bias 0.107). Such a key works wherever `jax.random` takes one.
"""

import math

import jax
import jax.numpy as jnp
from jax.extend.random import define_prng_impl
from jaxtyping import Array, Key, UInt32

GOLDEN = 0x9E3779B9
CHILDREN = 0x80000000
"""Child keys are hashed from counters beyond this one, random bits from those before it."""


def mix(word: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    """A bijection of 32 bits in which each bit of the result hangs on all of `word`."""
    word = (word ^ (word >> 16)) * jnp.uint32(0x21F0AAAD)
    word = (word ^ (word >> 15)) * jnp.uint32(0xD35A2D97)
    return word ^ (word >> 15)


def hashed(key: UInt32[Array, "2"], first: int, count: int) -> UInt32[Array, " K"]:
    """`count` words of a key, from the counter `first` on."""
    counter = jax.lax.iota(jnp.uint32, count) + jnp.uint32(first)
    return mix(mix(key[0] + counter * jnp.uint32(GOLDEN)) ^ key[1])


def _seed(seed: Array) -> UInt32[Array, "2"]:
    word = jnp.asarray(seed).astype(jnp.uint32)
    return jnp.stack([mix(word), mix(word ^ jnp.uint32(GOLDEN))])


def _split(key: UInt32[Array, "2"], shape: tuple[int, ...]) -> UInt32[Array, "..."]:
    return hashed(key, CHILDREN, 2 * math.prod(shape)).reshape(*shape, 2)


def _fold_in(key: UInt32[Array, "2"], data: int | Array) -> UInt32[Array, "2"]:
    word = mix(jnp.asarray(data).astype(jnp.uint32) + jnp.uint32(GOLDEN))
    return jnp.stack([mix(key[0] ^ word), mix(key[1] + word)])


def _bits(key: UInt32[Array, "2"], bit_width: int, shape: tuple[int, ...]) -> Array:
    count = math.prod(shape)
    if bit_width == 64:
        high, low = hashed(key, 0, 2 * count).astype(jnp.uint64).reshape(2, *shape)
        return (high << 32) | low
    word = hashed(key, 0, count).reshape(shape)
    return word if bit_width == 32 else word.astype({8: jnp.uint8, 16: jnp.uint16}[bit_width])


HASHED = define_prng_impl(
    key_shape=(2,), seed=_seed, split=_split, random_bits=_bits, fold_in=_fold_in, name="hashed", tag="hash"
)


def quick(key: Key[Array, ""]) -> Key[Array, ""]:
    """A quick key, drawn by a key of any kind."""
    return jax.random.wrap_key_data(jax.random.bits(key, (2,), jnp.uint32), impl=HASHED)
