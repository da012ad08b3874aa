"""The study of the cloned human: are strangers foreseen, and would a clone that foresees nothing be noticed?"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tacit.humans.demonstrations import KIND, SIZES, Told, Turns
from tacit.humans.past import FILL, HARM, LITTER, MEND, REST, SORTS, STEP
from tacit.learning.cloning import Choices, Config, Moments, blank
from tacit.members import find
from tacit.studies import claims
from tacit.studies import humans as study

RNG = np.random.default_rng()
DATA = Path(__file__).parents[2] / ".." / "shared" / "data" / "mbag_human"
ROWS, OPTIONS = 200, 5
WHAT = {REST: 0, FILL: 1, LITTER: 1, MEND: 2, HARM: 2, STEP: 3}
"""To pass, place, break or move: what each sort of action is."""
FROM = {FILL: (0, KIND), LITTER: (1, KIND), MEND: (2,), HARM: (3,), STEP: (4,)}
"""The lists that an action of each sort takes something from."""
TIER = study.Tier(None, Config(num_rounds=15), 0)


def made_up(episode: int) -> Turns:
    """Turns of somebody who mostly does what the first features say: one for each sort, one for each option."""

    def drawn(*shape: int) -> np.ndarray:
        return RNG.normal(size=shape).astype(np.float32)

    def liked(scores: np.ndarray) -> np.ndarray:
        return (3.0 * scores + RNG.gumbel(size=scores.shape)).argmax(-1).astype(np.int32)

    moment, episodes = drawn(ROWS, SIZES.moment), np.full(ROWS, episode, np.int32)
    sorts, lists = liked(moment[:, :SORTS]), []
    for number, network in enumerate(SIZES.lists):
        features = drawn(ROWS, OPTIONS, SIZES.options[network][0])
        taken = np.isin(sorts, [sort for sort, those in FROM.items() if number in those])
        chosen = np.where(taken, liked(features[..., 0]), -1).astype(np.int32)
        lists.append(Choices(*map(jnp.asarray, (features, np.ones((ROWS, OPTIONS), bool), chosen, episodes))))
    some = (moment, np.zeros((ROWS, SORTS), np.float32), np.zeros(ROWS, np.int32), np.ones((ROWS, SORTS), bool))
    moments = Moments(*map(jnp.asarray, (*some, sorts, episodes)))
    what = np.array([WHAT[sort] for sort in sorts.tolist()])
    return Turns(moments, tuple(lists), what, np.tile([1, 2 * OPTIONS**2, 2 * OPTIONS, OPTIONS], (ROWS, 1)), 0)


def people() -> list[Told]:
    """Three people, two episodes alone and one with a partner each."""
    who = [(person, partner) for person in (1, 2, 5) for partner in (False, False, True)]
    return [Told(*one, made_up(number)) for number, one in enumerate(who)]


def found(monkeypatch: pytest.MonkeyPatch, episodes: list[Told]) -> dict[str, claims.Claim]:
    """What the study says of these people."""
    monkeypatch.setattr(study, "recorded", lambda path, max_turns: episodes)
    monkeypatch.setitem(study.TIERS, "tiny", TIER)
    return {claim.name: claim for claim in study.make("tiny", Path("made up"))}


def test_it_is_skipped_without_recordings_and_says_so():
    report = claims.run(find("tacit.studies", "humans"), "tiny", None)
    assert report.claims == []
    assert report.skipped is not None
    assert "--data PATH" in report.skipped


def test_it_says_where_there_is_nothing_to_learn_from(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=str(tmp_path)):
        study.make("tiny", tmp_path)
    with pytest.raises(ValueError, match=r"participant 1 alone.*two or more\.$"):
        found(monkeypatch, [one for one in people() if one.participant == 1])


def test_made_up_people_are_foreseen_and_without_a_pattern_they_are_not(monkeypatch):
    everybody = people()
    good = found(monkeypatch, everybody)
    assert len(good) == 3 * 2 * 3
    assert all(claim.passed for claim in good.values()), good

    def shuffled(choices: Choices) -> Choices:
        chance = RNG.integers(0, OPTIONS, ROWS)
        return choices._replace(chosen=jnp.asarray(np.where(np.asarray(choices.chosen) >= 0, chance, -1), jnp.int32))

    # What is left out does something else than what the features say of all others: it is not foreseen.
    odd = [
        one
        if one.participant != 5
        else one._replace(
            turns=one.turns._replace(
                moments=one.turns.moments._replace(features=-one.turns.moments.features),
                lists=tuple(map(shuffled, one.turns.lists)),
            )
        )
        for one in everybody
    ]
    bad = found(monkeypatch, odd)
    assert {name for name, claim in bad.items() if not claim.passed} >= {
        f"nats_per_action@person5_{how}" for how in ("alone", "with_partner")
    }


def test_a_clone_that_finds_everything_alike_gives_every_option_its_share():
    turns, chooser = made_up(0), blank(SIZES, jax.random.key(0))
    sorts = np.asarray(turns.moments.chosen)
    steps = np.array([len(FROM.get(sort, ())) for sort in sorts.tolist()])
    seen = study.by_clone(chooser, turns, [OPTIONS] * len(turns.lists))
    np.testing.assert_allclose(seen.log_prob, -np.log(SORTS) - steps * np.log(OPTIONS), rtol=1e-4)


def test_the_yardstick_is_how_often_the_others_do_what_shared_among_what_is_legal():
    other, mine = made_up(0), made_up(1)
    seen = study.by_types([other], mine)
    for row in range(ROWS):
        what = mine.what[row]
        share = ((other.what == what).sum() + 1) / (ROWS + 4)  # each counted once more than seen
        assert float(seen.log_prob[row]) == pytest.approx(np.log(share / mine.widths[row, what]), rel=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="the public recordings are not in ../shared/data/mbag_human")
def test_everybody_recorded_is_foreseen_better_than_by_how_often_people_do_what():
    told = study.make("tiny", DATA)
    nats = [claim for claim in told if claim.name.startswith("nats_per_action")]
    assert len(nats) == 6
    assert all(claim.passed for claim in nats), nats
