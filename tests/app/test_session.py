"""A person at a game, without a browser: rules, walking, undo, feedback, the off-switch, counts and resumption."""

import itertools
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tacit.app.session import fold, messages, wishes
from tacit.app.session.evidence import press
from tacit.app.session.messages import Break, Clock, Finish, Judge, MessageError, Place, Step, Stop, Switch, Undo
from tacit.app.session.players import decoded
from tacit.app.session.store import Event
from tacit.core import ASSISTANT, HUMAN
from tacit.games.building.actions import PASS, PLACE
from tacit.games.building.blocks import AIR, BEDROCK, DIRT
from tacit.games.building.game import edit_distance, goal_completed
from tests.app.sitting import GAME, PLAYERS, SILENT, house, play_turns


def begun(rng, players=PLAYERS, goal="drawn"):
    goal = house(rng) if goal == "drawn" else goal
    return fold.begin(players, goal, jax.random.key(rng.integers(2**31)))


def say(session, message, players=PLAYERS):
    return fold.accept(players, session, message)


def same(one, other):
    def array(leaf):
        return jax.random.key_data(leaf) if jnp.issubdtype(jnp.asarray(leaf).dtype, jax.dtypes.prng_key) else leaf

    ours, theirs = (jax.tree.leaves(eqx.filter(tree, eqx.is_array_like)) for tree in (one, other))
    assert len(ours) == len(theirs)
    for mine, yours in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(array(mine), array(yours))


def random_message(rng):
    cell = tuple(int(rng.integers(size)) for size in GAME.shape)
    kind = int(rng.integers(DIRT, GAME.num_kinds))
    choices = [
        Place(cell, kind),
        Break(cell),
        Step(int(rng.integers(6))),
        Undo(),
        Judge(cell, kind, bool(rng.integers(2))),
        Switch(bool(rng.integers(2))),
    ]
    return choices[rng.choice(len(choices), p=[0.4, 0.2, 0.1, 0.1, 0.1, 0.1])]


def test_a_click_out_of_reach_walks_there_by_ordinary_moves_and_then_edits(rng):
    session = begun(rng, SILENT)
    x, _, z = session.scene.feet[HUMAN]
    far = (0 if x >= 4 else GAME.shape[0] - 1, 2, 0 if z >= 4 else GAME.shape[2] - 1)
    session = say(session, Place(far, DIRT), SILENT)
    feet, steps = [tuple(session.scene.feet[HUMAN])], 0
    while session.wishes:
        session = play_turns(session, 1, SILENT)
        feet.append(tuple(session.scene.feet[HUMAN]))
        steps += 1
        assert steps < 60
    assert session.scene.blocks[far] == DIRT
    assert session.scene.human_edits == 1
    assert all(sum(abs(np.subtract(a, b))) <= 1 for a, b in itertools.pairwise(feet))
    assert steps > 1, "it was out of reach"


def test_undo_is_the_inverse_edit_and_an_action_like_any_other(rng):
    session = begun(rng, SILENT)
    before = session.scene.blocks
    x, _, z = session.scene.feet[HUMAN]
    below = (int(x), 1, int(z))
    for message in (Break(below), Undo()):
        session = say(session, message, SILENT)
        session = play_turns(session, 40, SILENT)
    np.testing.assert_array_equal(session.scene.blocks, before)
    assert [(edit.before, edit.after) for edit in session.edits] == [(DIRT, AIR), (AIR, DIRT)]
    assert session.scene.human_edits == 2
    assert say(session, Undo(), SILENT).note == "There is nothing to undo."


def test_undo_drops_a_click_that_still_waits_before_it_takes_an_edit_back(rng):
    session = say(say(begun(rng, SILENT), Step(0), SILENT), Step(1), SILENT)
    assert [wish.message for wish in say(session, Undo(), SILENT).wishes] == [Step(0)]
    assert say(session, Stop(), SILENT).wishes == ()


def test_what_is_senseless_or_hopeless_is_given_up_in_words(rng):
    session = say(begun(rng, SILENT), Break((0, 0, 0)), SILENT)
    assert session.scene.blocks[0, 0, 0] == BEDROCK
    assert wishes.choose(SILENT, session).action == PASS
    session = play_turns(session, 1, SILENT)
    assert session.wishes == ()
    corner = (0, GAME.shape[1] - 1, 0)
    in_the_air = say(session, Place(corner, DIRT), SILENT)
    after = play_turns(in_the_air, wishes.LONGEST_WALK + 30, SILENT)
    assert after.wishes == ()
    assert after.note == ""
    assert after.scene.human_edits == 0


def test_the_assistant_does_what_it_was_seen_to_be_about_to_do(rng):
    session, differing = begun(rng), 0
    for _ in range(12):
        session = fold.thought(PLAYERS, session)
        foreseen = fold.assistant_action(session)
        session = play_turns(session, 1)
        assert int(session.moment.state.last_actions[ASSISTANT]) == foreseen
        differing += foreseen != PASS
    assert differing, "it never did anything"


def test_off_means_off_before_the_next_action_and_makes_what_it_was_doing_less_likely(rng):
    session = fold.thought(PLAYERS, begun(rng))
    while decoded(GAME, fold.assistant_action(session))[0] != PLACE:
        session = fold.thought(PLAYERS, play_turns(session, 1))
    _, cell, kind, _ = decoded(GAME, fold.assistant_action(session))
    before = session.scene.belief[cell][kind]
    session = fold.thought(PLAYERS, say(session, Switch(False)))
    assert session.scene.belief[cell][kind] < before
    assert fold.assistant_action(session) == PASS
    blocks = session.scene.blocks
    session = play_turns(session, 5)
    np.testing.assert_array_equal(session.scene.blocks, blocks)
    again = fold.thought(PLAYERS, say(session, Switch(True)))
    assert decoded(GAME, fold.assistant_action(again))[1:3] != (cell, kind)


def test_pressing_the_switch_when_it_is_off_says_nothing_new(rng):
    session = say(fold.thought(PLAYERS, begun(rng)), Switch(False))
    told = fold.thought(PLAYERS, session)
    same(fold.thought(PLAYERS, say(told, Switch(False))).scene.belief, told.scene.belief)


@pytest.mark.parametrize("right", [True, False])
def test_a_judgement_moves_the_belief_by_bayes_rule(rng, right):
    session = fold.thought(PLAYERS, begun(rng))
    cell, kind = tuple(int(rng.integers(2, 6)) for _ in range(3)), int(rng.integers(DIRT, GAME.num_kinds))
    before = session.scene.belief
    after = fold.thought(PLAYERS, say(session, Judge(cell, kind, right))).scene.belief
    # By hand: they err with probability 1 / (1 + e^3), whatever the cell should be.
    err = 1 / (1 + np.exp(3.0))
    says = np.where((np.arange(GAME.num_kinds) == kind) == right, 1 - err, err)
    expected = before[cell] * says / (before[cell] * says).sum()
    np.testing.assert_allclose(after[cell], expected, atol=1e-5)
    others = np.ones(GAME.shape, bool)
    others[cell] = False
    np.testing.assert_allclose(after[others], before[others], atol=1e-6)
    assert (after[cell][kind] > before[cell][kind]) == right


def test_who_cannot_be_told_says_so(rng):
    assert say(begun(rng, SILENT), Judge((1, 2, 1), DIRT, True), SILENT).note == "This assistant cannot be told."


def test_the_switch_is_read_as_a_choice_between_going_on_and_stopping():
    told = press(GAME, AIR, 3)
    # About to put a 3 into air: a gain of 1 if a 3 is wanted, a loss of 1 if anything else is.
    expected = np.full(GAME.num_kinds, -np.log1p(np.exp(-3.0)))
    expected[3] = -np.log1p(np.exp(3.0))
    np.testing.assert_allclose(told, expected, atol=1e-6)


def test_counts_agree_with_the_goal_and_with_a_second_count(rng):
    session = begun(rng)
    for _ in range(30):
        session = play_turns(say(session, random_message(rng)), 3)
    scene, goal = session.scene, jnp.asarray(session.scene.goal)
    np.testing.assert_allclose(scene.completed, float(goal_completed(jnp.asarray(scene.blocks), goal)), atol=1e-5)
    assert scene.human_edits == sum(edit.player == HUMAN for edit in session.edits)
    left = float(edit_distance(jnp.asarray(scene.blocks), goal))
    assert fold.saved(scene) == pytest.approx(scene.needed - left - scene.human_edits)
    # Had the goal been what stands, the free builder's count is the one that play's rewards give.
    free = fold.counted(session._replace(free=True))
    assert free.completed == pytest.approx(1.0)
    wrong = [edit for edit in session.edits if edit.player == ASSISTANT and edit.after != scene.blocks[edit.cell]]
    assert free.assistant_wrong <= len(wrong)


def test_the_free_builders_goal_is_what_stands_when_they_say_so(rng):
    session = play_turns(begun(rng, goal=None), 1)
    x, _, z = session.scene.feet[HUMAN]
    session = play_turns(say(session, Break((int(x), 1, int(z)))), 20)
    assert not session.done
    session = say(session, Finish())
    assert session.done
    np.testing.assert_array_equal(session.scene.goal, session.scene.blocks)
    assert session.scene.completed == pytest.approx(1.0)
    assert say(session, Step(0)).note == "This house is finished."


def test_events_lead_back_to_the_very_same_session(rng):
    goal, key = house(rng), jax.random.key(rng.integers(2**31))
    session, events = fold.begin(PLAYERS, goal, key), []
    for _ in range(25):
        message = random_message(rng)
        session = say(session, message)
        events.append(Event(len(events), 0.0, "message", messages.dump(message)))
        for _ in range(int(rng.integers(4))):
            session = fold.thought(PLAYERS, session)
            choice, theirs = wishes.choose(PLAYERS, session), fold.assistant_action(session)
            session = fold.acted(PLAYERS, session, choice, theirs)
            events.append(Event(len(events), 0.0, "turn", fold.turn_body(choice, theirs)))
    resumed = fold.resume(PLAYERS, goal, key, events)
    same(resumed, session)
    assert resumed._replace(moment=None, scene=None, key=None, thinking=None) == session._replace(
        moment=None, scene=None, key=None, thinking=None
    )
    shorter = fold.resume(PLAYERS, goal, key, events[:-1])
    assert int(shorter.moment.time) <= int(session.moment.time)


def test_messages_come_back_as_they_were(rng):
    for _ in range(50):
        message = random_message(rng)
        assert messages.parse(messages.dump(message), GAME) == message == messages.load(messages.dump(message))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NEAR = st.fixed_dictionaries(
    {"do": st.sampled_from(["place", "break", "step", "judge", "switch", "clock", "undo", "finish", "zap", ""])},
    optional={
        "cell": st.lists(st.integers(-3, 9) | JSON, max_size=4),
        "kind": st.integers(-2, 12) | JSON,
        "right": JSON,
        "direction": st.integers(-2, 8) | JSON,
        "on": JSON,
        "seconds": st.floats() | JSON,
        "paused": JSON,
        "__class__": JSON,
    },
)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.text(max_size=500) | JSON.map(json.dumps) | NEAR.map(json.dumps))
def test_whatever_is_sent_is_a_message_or_one_clear_sentence(text):
    try:
        message = messages.parse(text, GAME)
    except MessageError as error:
        sentence = str(error)
        assert sentence.endswith(".")
        assert "\n" not in sentence
        assert len(sentence) < 300
    else:
        assert messages.load(messages.dump(message)) == message
        if isinstance(message, Place | Break | Judge):
            assert all(0 <= at < size for at, size in zip(message.cell, GAME.shape, strict=True))
        if isinstance(message, Clock):
            assert 0.1 <= message.seconds <= 60


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 399, "That is no message"),
        ("x" * 401, "at most 400 characters, not 401"),
        ('{"do":"place","cell":[0,2,99],"kind":2}', "not in this world of (8, 8, 8) cells"),
        ('{"do":"place","cell":[0,2,0],"kind":1}', "There is no kind 1 to name here; give 2 to"),
        ('{"do":"place","cell":[0,2,0],"kind":2,"sudo":true}', "sudo"),
        ('{"do":"step","direction":6}', "direction"),
        ('{"do":"step","direction":"0"}', "direction"),
        ('{"do":"clock","seconds":NaN,"paused":false}', "That is no message"),
        ('{"do":"place","cell":[' + "9" * 300 + ',0,0],"kind":2}', "beyond counting"),
    ],
)
def test_faults_are_named(text, reason):
    with pytest.raises(MessageError) as caught:
        messages.parse(text, GAME)
    assert reason in str(caught.value)
