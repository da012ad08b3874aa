"""Serve the page with the quick assistant of the tests: `python -m tests.browser.serve PORT RECORD`."""

import sys
from functools import partial
from pathlib import Path

import jax

from tacit.app.page.server import Settings, serve
from tests.app.sitting import PLAYERS

if __name__ == "__main__":
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    settings = Settings("building-small", "hopeful", "127.0.0.1", int(sys.argv[1]), False, Path(sys.argv[2]))
    serve(settings, lambda game, assistant: PLAYERS, partial(print, flush=True))
