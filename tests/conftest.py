"""What holds for every test: no silent type promotion or broadcasting, one compile cache, draws that can be repeated.

What a test draws at random follows from `--seed` and its name: the same at every run, and others with another seed.
"""

import os
import zlib
from collections.abc import Iterator
from pathlib import Path

# Tests compile much and compute little: emitters of fused loops and most of LLVM's passes would take longer than they
# save. Read when JAX starts.
os.environ["XLA_FLAGS"] = (
    f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=1 --xla_cpu_use_fusion_emitters=false".strip()
)

import jax
import numpy as np
import pytest

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_compilation_cache_dir", str(Path(__file__).parent.parent / ".jax_cache"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


_default_rng = np.random.default_rng


class Draws:
    """What stands in for `numpy.random.default_rng`: without a seed it takes the next one of the running test."""

    def __init__(self) -> None:
        self.start("", None)

    def start(self, name: str, module: object) -> None:
        """From here on draws follow from `name`, those of the module's own `RNG` too."""
        self.seeds = np.random.SeedSequence(zlib.crc32(name.encode()))
        if isinstance(generator := getattr(module, "RNG", None), np.random.Generator):
            generator.bit_generator.state = self().bit_generator.state

    def __call__(self, seed: object = None) -> np.random.Generator:
        """Numpy's generator of the seed, or of the next one."""
        return _default_rng(self.seeds.spawn(1)[0] if seed is None else seed)


DRAWS = np.random.default_rng = Draws()
MAPS = Path("/proc/self/maps")
MANY_MAPS = 30_000


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=0, help="draws of all tests follow from it (default: 0)")


@pytest.fixture(autouse=True)
def _repeat_draws(request: pytest.FixtureRequest) -> None:
    DRAWS.start(f"{request.config.getoption('--seed')} {request.node.nodeid}", request.module)


@pytest.fixture(autouse=True)
def _few_maps() -> Iterator[None]:
    """What was compiled is dropped when it is much, not only after each file.

    Every compiled function holds some memory maps, of which Linux gives a process 65,530: beyond them XLA crashes.
    """
    yield
    if MAPS.exists() and MAPS.read_bytes().count(b"\n") > MANY_MAPS:
        jax.clear_caches()


@pytest.fixture
def rng(_repeat_draws: None) -> np.random.Generator:
    """A generator of this test's own."""
    return np.random.default_rng()


@pytest.fixture(scope="module", autouse=True)
def _one_file(request: pytest.FixtureRequest) -> Iterator[None]:
    """Draws of a file's fixtures can be repeated, and after it what was compiled for it is dropped."""
    DRAWS.start(f"{request.config.getoption('--seed')} {request.module.__name__}", request.module)
    yield
    jax.clear_caches()
