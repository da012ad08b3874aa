"""How fast does a language model learn from its own samples? Our loop against TRL's GRPOTrainer, samples a second.

Both take the same steps from the same small model on the same machine, in turns: as many answers to as many questions,
rewarded by the checker (RLVR); then as many answers and verdicts of RARO, each of which counts as a sample, with
`on_trl` on the other side. A step is all of it: questions drawn, samples, rewards, gradient, update.
"""

import importlib.util
import tempfile
from pathlib import Path
from typing import Any


def make() -> list[dict[str, Any]]:
    """Time RLVR and RARO; a minute of two quiet cores. Without TRL there is no baseline."""
    missing = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(f"tacit bench raro needs {' and '.join(missing)}: pip install 'tacit[trl]'.")
    from tacit.benchmarks import raro_steps  # noqa: PLC0415 - an extra

    with tempfile.TemporaryDirectory() as folder:
        return raro_steps.table(Path(folder) / "model", with_trl=importlib.util.find_spec("trl") is not None)
