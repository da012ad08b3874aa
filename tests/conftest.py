"""Strict settings for every test: no silent type promotion, no silent broadcasting, one shared compile cache."""

from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_compilation_cache_dir", str(Path(__file__).parent.parent / ".jax_cache"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


@pytest.fixture(scope="module", autouse=True)
def _drop_compiled_functions() -> Iterator[None]:
    """After each file drop what was compiled for it.

    Every compiled function holds some memory maps, of which Linux gives a process 65,530: beyond them XLA crashes.
    """
    yield
    jax.clear_caches()
