"""Serve the page, or a study, with the quick assistant of the tests: `-m tests.browser.serve PORT RECORD [study]`."""

import sys
from functools import partial
from pathlib import Path

import jax

from tacit.app.page.server import Settings, serve
from tacit.app.session.study import Design
from tests.app.sitting import PLAYERS, SILENT

if __name__ == "__main__":
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    port, record = int(sys.argv[1]), Path(sys.argv[2])
    study = Design("building-small", ("hopeful", "none"), True) if sys.argv[3:] == ["study"] else None
    settings = Settings("building-small", "hopeful", "127.0.0.1", port, False, record, study)
    serve(settings, lambda game, assistant: SILENT if assistant == "none" else PLAYERS, partial(print, flush=True))
