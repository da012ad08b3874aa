"""Pairs of houses for who cannot say what they want: what an answer tells, and that it narrows both beliefs."""

import itertools
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tacit.app.session import discovery as discoveries
from tacit.app.session import fold, messages, pairs
from tacit.app.session.likes import ASPECTS, LOOKED_AT, RATIONALITY, SIZES, WEIGHTS, indicators, worth
from tacit.app.session.messages import Ask, Break, MessageError, Place, Prefer, Skip
from tacit.app.session.store import Event
from tacit.core import HUMAN
from tacit.games.building.blocks import AIR, NAMES
from tacit.games.building.game import BuildingGame
from tacit.games.building.houses import HouseGenerator
from tacit.games.building.plans import Plan
from tests.app.sitting import GAME, HOUSES, PLAYERS, SILENT, play_turns
from tests.app.test_session import same

NUM_VALUES = HOUSES.log_prior.shape[1]
DRAW, BUILD = eqx.filter_jit(HOUSES.draw_plan), eqx.filter_jit(HOUSES.build)


def drawn(rng) -> Plan:
    return jax.tree.map(int, DRAW(jax.random.key(rng.integers(2**31))))


def listed(plans) -> list[Plan]:
    return [Plan(*row) for row in np.stack([np.asarray(field) for field in plans], 1).tolist()]


def liking(theta: Plan, house: Plan, aspect="house") -> float:
    """How much of the house's plan is as in theta: by hand, field by field."""
    total = 0.0
    for name, wanted, built in zip(Plan._fields, theta, house, strict=True):
        if name in LOOKED_AT[aspect]:
            near = 1 - abs(int(wanted) - int(built)) / 2 if name in SIZES else float(wanted == built)
            total += WEIGHTS[name] * max(near, 0.0)
    return total


def plans_of(session) -> list[Plan]:
    return listed(session.discovery.shown.plans)


def unsure(rng, players=PLAYERS):
    session = fold.begin(players, None, jax.random.key(rng.integers(2**31)))
    return fold.thought(players, fold.accept(players, session, Ask(True)))


def next_shown(session, players=PLAYERS):
    session = fold.thought(players, session)
    return pairs.asked(players, session, pairs.next_pair(players, session))


@pytest.mark.parametrize("aspect", ASPECTS)
def test_a_house_is_worth_what_of_its_plan_is_wanted(rng, aspect):
    for _ in range(20):
        theta, house = drawn(rng), drawn(rng)
        ours = indicators(jax.tree.map(jnp.int32, theta), NUM_VALUES) @ worth(
            jax.tree.map(jnp.int32, house), aspect, NUM_VALUES
        )
        assert float(ours) == pytest.approx(liking(theta, house, aspect), abs=1e-5)
        assert liking(theta, theta, aspect) >= float(ours) - 1e-5


def test_the_offer_is_the_pair_whose_answer_tells_most_by_brute_force(rng):
    belief = discoveries.begin(HOUSES, jax.random.key(rng.integers(2**31)))
    key = jax.random.key(rng.integers(2**31))
    offer = discoveries.offer(HOUSES, belief, key)
    cloud = listed(belief.hypotheses.plan)
    order = np.asarray(jax.random.permutation(key, discoveries.NUM_HOUSES))[: discoveries.NUM_CANDIDATES]
    liked = np.array([[liking(theta, cloud[n]) for n in order] for theta in cloud])

    def told(one, other):
        chance = 1 / (1 + np.exp(-RATIONALITY * (liked[:, one] - liked[:, other])))

        def entropy(p):
            return -p * np.log(p) - (1 - p) * np.log(1 - p)

        return entropy(chance.mean()) - entropy(np.clip(chance, 1e-12, 1 - 1e-12)).mean()

    gains = {pair: told(*pair) for pair in itertools.combinations(range(len(order)), 2)}
    assert float(offer.gain) == pytest.approx(max(gains.values()), abs=2e-4)
    pair = [cloud[order[n]] for n in max(gains, key=gains.get)]
    offered = listed(offer.plans)
    assert (
        offered == pair
        or max(gains.values())
        - told(*(next(n for n in range(len(order)) if cloud[order[n]] == plan) for plan in offered))
        < 1e-4
    )
    assert float(offer.gain) <= np.log(2)


def test_the_cloud_is_weighed_by_bayes_rule(rng):
    """Against importance sampling: prior draws weighed by hand with the same answers."""
    said, pairs = discoveries.nothing_said(HOUSES), []
    for number in range(6):
        pair = [drawn(rng) for _ in range(2)]
        given = int(rng.integers(2))
        worths = jnp.stack([worth(jax.tree.map(jnp.int32, plan), "walls", NUM_VALUES) for plan in pair])
        said = said._replace(worths=said.worths.at[number].set(worths), given=said.given.at[number].set(given))
        pairs.append((pair, given))
    shares = []
    for seed in range(4):
        belief = discoveries.begin(HOUSES, jax.random.key(seed))
        for round_ in range(3):
            belief = discoveries.learn(HOUSES, belief, said, jax.random.key(100 * seed + round_))
        shares.append(np.bincount(np.asarray(belief.hypotheses.plan.wall_kind), minlength=GAME.num_kinds))
    ours = np.sum(shares, 0) / np.sum(shares)
    many = jax.vmap(HOUSES.draw_plan)(jax.random.split(jax.random.key(7), 40_000))
    fields = {name: np.asarray(field) for name, field in zip(Plan._fields, many, strict=True)}
    score = np.zeros(40_000)
    for pair, given in pairs:
        gap = sum(
            WEIGHTS[name]
            * ((fields[name] == field_of(pair[given], name)) * 1.0 - (fields[name] == field_of(pair[1 - given], name)))
            for name in LOOKED_AT["walls"]
        )
        score -= np.log1p(np.exp(-RATIONALITY * gap))
    weights = np.exp(score - score.max())
    exact = np.bincount(fields["wall_kind"], weights, minlength=GAME.num_kinds) / weights.sum()
    np.testing.assert_allclose(ours, exact, atol=0.06)


def field_of(plan, name):
    return plan[Plan._fields.index(name)]


def answers(players, seed, num_answers, informed):
    """Someone who wants a hidden house answers; the probability of it in both beliefs, before and after."""
    key = jax.random.key(seed)
    rng = np.random.default_rng(seed)
    theta = Plan(*(int(field) for field in DRAW(jax.random.fold_in(key, 1))))
    house = np.asarray(BUILD(jax.tree.map(jnp.int32, theta)))
    session = fold.begin(players, None, key)
    session = fold.thought(players, fold.accept(players, session, Ask(True)))
    told = [seen(session, theta, house)]
    for _ in range(num_answers):
        if informed:
            session = next_shown(session, players)
        else:
            pair = jax.vmap(HOUSES.draw_plan)(jax.random.split(jax.random.key(rng.integers(2**31))))
            session = pairs.asked(players, session, jax.tree.map(np.asarray, pair))
        first, second = (liking(theta, plan) for plan in plans_of(session))
        which = int(rng.random() > 1 / (1 + np.exp(-RATIONALITY * (first - second))))
        session = fold.accept(players, session, Prefer(session.discovery.shown.number, which, "house"))
        session = fold.thought(players, session)
        told.append(seen(session, theta, house))
    return np.array(told)


def seen(session, theta, house):
    belief = session.discovery.belief
    cloud = listed(belief.hypotheses.plan)[::4]
    alike = np.mean([liking(theta, plan) for plan in cloud]) / liking(theta, theta)
    cells = np.take_along_axis(session.scene.belief, house[..., None].astype(int), -1)[..., 0]
    return alike, np.log(0.98 * cells + 0.02 / GAME.num_kinds).sum()


@pytest.mark.slow
def test_answers_narrow_both_beliefs_and_chosen_pairs_narrow_them_more_than_random_ones():
    num_people, num_answers = 6, 10
    runs = {
        informed: np.mean([answers(PLAYERS, seed, num_answers, informed) for seed in range(num_people)], 0)
        for informed in (True, False)
    }
    (alike, log_house), (alike_random, log_random) = (runs[informed][-1] - runs[informed][0] for informed in runs)
    assert alike > 0.1
    assert log_house > 10
    assert alike > alike_random
    assert log_house > log_random


def test_an_answer_advances_an_aspect_stays_and_each_is_said_once(rng):
    session = next_shown(unsure(rng))
    shown = session.discovery.shown
    np.testing.assert_array_equal(
        shown.houses, np.stack([BUILD(jax.tree.map(jnp.int32, p)) for p in plans_of(session)])
    )
    first = fold.accept(PLAYERS, session, Prefer(0, 1, "shape"))
    if first.note:
        assert first.note == "In their shape the two are alike."
    else:
        assert first.discovery.shown.said == ((1, "shape"),)
        again = fold.accept(PLAYERS, first, Prefer(0, 0, "shape"))
        assert again.note == "You have said that of this pair."
        assert again.discovery.num_said == 1
    chosen = fold.accept(PLAYERS, first, Prefer(0, 0, "house"))
    assert chosen.discovery.shown is None
    assert fold.accept(PLAYERS, chosen, Prefer(0, 0, "house")).note == "That pair is not shown any more."
    following = next_shown(chosen)
    assert following.discovery.shown.number == 1
    skipped = fold.accept(PLAYERS, following, Skip(1))
    assert skipped.discovery.num_said == chosen.discovery.num_said
    assert pairs.asking(skipped)
    assert fold.accept(PLAYERS, skipped, Place((0, 2, 0), 2)).note == "Say first that you want to build."
    built = fold.accept(PLAYERS, skipped, Ask(False))
    assert not pairs.asking(built)
    assert fold.accept(PLAYERS, built, Skip(1)).note == "That pair is not shown any more."


def test_after_many_answers_it_says_that_it_is_time_to_build(rng):
    session = next_shown(unsure(rng))
    full = session._replace(discovery=session.discovery._replace(num_said=discoveries.MOST_ANSWERS))
    after = fold.accept(PLAYERS, full, Prefer(0, 0, "house"))
    assert after.note == "After 48 answers it is time to build."
    assert after.discovery.num_said == discoveries.MOST_ANSWERS


def test_who_asks_again_after_building_is_shown_houses_that_fit_what_stands(rng):
    session = fold.accept(PLAYERS, unsure(rng), Ask(False))
    x, _, z = (int(at) for at in session.scene.feet[HUMAN])
    floor = (x, 1, z)
    glass = NAMES.index("glass")
    for message in (Break(floor), Place(floor, glass)):
        session = play_turns(fold.accept(PLAYERS, session, message), 20)
    session = fold.thought(PLAYERS, fold.accept(PLAYERS, session, Ask(True)))
    cells = np.asarray(session.discovery.said.cells).reshape(*GAME.shape, GAME.num_kinds)
    if session.scene.blocks[floor] == glass:
        assert cells[floor].argmax() == glass
    else:
        assert cells[floor].argmin() in (NAMES.index("dirt"), AIR)
    assert np.count_nonzero(cells.any(-1)) >= 1


def test_who_cannot_be_told_of_houses_says_so(rng):
    session = fold.begin(SILENT, None, jax.random.key(rng.integers(2**31)))
    assert fold.accept(SILENT, session, Ask(True)).note == "This assistant cannot be told of whole houses."


class Elsewhere:
    def sample(self, key):
        return GAME.sample_theta(key)


def test_houses_from_elsewhere_are_not_shown(rng):
    other = BuildingGame(Elsewhere(), GAME.shape, GAME.num_kinds, GAME.reach, 100)
    with pytest.raises(ValueError, match="come from a HouseGenerator"):
        discoveries.generator_of(other)
    players = PLAYERS._replace(game=other)
    session = fold.begin(players, None, jax.random.key(rng.integers(2**31)))
    assert fold.accept(players, session, Ask(True)).note == "There are no houses to show in this game."


def test_events_lead_back_to_the_very_same_questions(rng):
    key = jax.random.key(rng.integers(2**31))
    session, events = fold.begin(PLAYERS, None, key), []

    def say(session, message):
        events.append(Event(len(events), 0.0, "message", messages.dump(message)))
        return fold.accept(PLAYERS, session, message)

    session = say(session, Ask(True))
    for number in range(3):
        session = fold.thought(PLAYERS, session)
        plans = pairs.next_pair(PLAYERS, session)
        body = fold.pair_body(plans)
        assert np.array(json.loads(body)["plans"]).shape == (2, len(Plan._fields))
        events.append(Event(len(events), 0.0, "pair", body))
        session = pairs.asked(PLAYERS, session, plans)
        what = ASPECTS[rng.integers(len(ASPECTS))]
        session = say(session, Prefer(number, int(rng.integers(2)), what))
        session = say(session, Skip(number))
    resumed = fold.thought(PLAYERS, fold.resume(PLAYERS, None, key, events))
    same(resumed, fold.thought(PLAYERS, session))
    assert resumed.discovery.num_said == session.discovery.num_said


@settings(max_examples=60, deadline=None)
@given(
    st.fixed_dictionaries(
        {"do": st.sampled_from(["prefer", "skip", "ask"])},
        optional={
            "pair": st.integers() | st.text() | st.none(),
            "which": st.integers(-1, 3) | st.booleans(),
            "what": st.sampled_from([*ASPECTS, "", "roofs", "__class__"]) | st.integers(),
            "on": st.booleans() | st.integers() | st.none(),
        },
    ).map(json.dumps)
)
def test_only_answers_that_are_answers_are_let_through(text):
    try:
        message = messages.parse(text, GAME)
    except MessageError as error:
        sentence = str(error)
        assert sentence.endswith(".")
    else:
        assert messages.load(messages.dump(message)) == message
        assert not isinstance(message, Prefer) or (message.which in (0, 1) and message.what in ASPECTS)
        assert messages.said(message)


@pytest.mark.slow
def test_another_world_has_houses_to_show_too(rng):
    large = HouseGenerator((11, 10, 10), 10, "all")
    belief = discoveries.begin(large, jax.random.key(rng.integers(2**31)))
    offer = discoveries.offer(large, belief, jax.random.key(0))
    assert discoveries.build(large, offer.plans).shape == (2, 11, 10, 10)
