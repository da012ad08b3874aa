"""The fit of the builder to people: on real recordings, and on ones that the builder made itself."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tacit.games.building.recorded import states
from tacit.games.building.recordings import load_recordings
from tacit.humans.builder import Persona
from tacit.studies import builders

ALONE = Path("../shared/data/mbag_human/alone.zip")
needs_data = pytest.mark.skipif(not ALONE.exists(), reason="the recordings of people are not here")


def test_free_and_bound_are_inverse():
    rng = np.random.default_rng()
    persona = Persona(*(jnp.float32(value) for value in rng.uniform(0.01, 0.99, len(Persona._fields))))
    for one, other in zip(builders.bound(builders.free(persona)), persona, strict=True):
        assert float(one) == pytest.approx(float(other), rel=1e-4)


@pytest.mark.slow
@needs_data
def test_people_are_explained_better_than_by_habit():
    claims = builders.make("tiny", ALONE)
    assert len(claims) == 9
    assert all(claim.passed for claim in claims), claims


@pytest.mark.slow
@needs_data
def test_edits_are_read_from_the_worlds():
    recording = next(load_recordings(ALONE, lambda _: None))
    seen = jax.tree.map(np.asarray, states(recording))
    blocks = recording.blocks.reshape(len(recording.actions), -1)
    changed = (blocks[1:] != blocks[:-1]).any(1)
    cells = seen.edits.cell[1:, 0]
    assert (cells[~changed] == -1).all()
    assert (cells >= 0).sum() > 0.95 * changed.sum()
    for t in np.flatnonzero(cells >= 0):
        assert blocks[t, cells[t]] == seen.edits.before[t + 1, 0] != blocks[t + 1, cells[t]]
        assert blocks[t + 1, cells[t]] == seen.edits.after[t + 1, 0]
    assert (seen.last_actions[1:, 0] == recording.actions[:-1]).all()
