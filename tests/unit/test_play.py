"""How a game is played: the shape of an episode, its end, the retrace, and the assistant's side as a problem."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tacit.assistants import belief_planner, obey
from tacit.core import ASSISTANT, HUMAN, Assistant, Game
from tacit.games import bandit, hidden_item, two_edits
from tacit.humans import boltzmann, epsilon_greedy, myopic
from tacit.play import AssistantProblem, advance, begin, play, retrace


class Even(Assistant):
    """Acts at random and keeps everything it ever saw as one number."""

    num_actions: int = eqx.field(static=True)

    def init(self, key):
        return jax.random.uniform(key)

    def logits(self, memory, observation, key):
        seen = sum(jnp.sum(leaf).astype(jnp.float32) for leaf in jax.tree.leaves(observation))
        return jnp.zeros(self.num_actions), 0.5 * memory + seen + jax.random.uniform(key)

    def thoughts(self, memory):
        return memory


@pytest.fixture(scope="module")
def rows():
    """Many episodes of two edits, whose wanted row is sometimes there from the start."""
    game = two_edits.make(2, 4)
    human, assistant = myopic.make(game), Even(5)
    run = eqx.filter_jit(eqx.filter_vmap(play, in_axes=(None, None, None, 0, 0)))
    keys = jax.random.split(jax.random.key(np.random.default_rng().integers(2**31)), 64)
    thetas = jax.vmap(game.sample_theta)(jax.random.split(keys[0], 64)).at[0].set(False)
    return game, human, assistant, run(game, human, assistant, thetas, keys)


def test_episode_shapes(rows) -> None:
    game, _, _, episodes = rows
    turns = game.horizon
    assert episodes.states.cells.shape == (64, turns + 1, 2)
    assert episodes.actions.shape == episodes.rewards.shape == (64, turns, 2)
    assert episodes.active.shape == (64, turns)
    assert episodes.theta.shape == (64, 2)


def test_episodes_end_when_nothing_is_left_to_do(rows) -> None:
    _, _, _, episodes = rows
    cells, active = np.asarray(episodes.states.cells), np.asarray(episodes.active)
    done = (cells == np.asarray(episodes.theta)[:, None]).all(-1)
    # A turn is played exactly if the row was not yet right before it, in no turn before either.
    assert np.array_equal(active, ~np.logical_or.accumulate(done[:, :-1], axis=1))
    assert not active[0].any(), "a row that is right from the start ends the episode before its first turn"
    assert np.all(np.asarray(episodes.rewards)[~active] == 0.0)
    for leaf in jax.tree.leaves(episodes.states):
        moved = (leaf[:, 1:] != leaf[:, :-1]).reshape(*active.shape, -1).any(-1)
        assert not np.any(np.asarray(moved) & ~active)
    assert active.any()


def test_rewards_are_what_the_moves_earned(rows) -> None:
    game, _, _, episodes = rows
    before = jax.tree.map(lambda leaf: leaf[:, :-1], episodes.states)
    after = jax.tree.map(lambda leaf: leaf[:, 1:], episodes.states)
    paid = jax.vmap(jax.vmap(game.reward, (None, 0, 0, 0)))(episodes.theta, before, episodes.actions, after)
    active = np.asarray(episodes.active)
    np.testing.assert_array_equal(np.asarray(paid)[active], np.asarray(episodes.rewards)[active])
    right = (np.asarray(episodes.states.cells) == np.asarray(episodes.theta)[:, None]).sum(-1)
    np.testing.assert_allclose(np.asarray(episodes.rewards).sum((1, 2)), right[:, -1] - right[:, 0])


def test_retrace_finds_the_thoughts_again(rows) -> None:
    game, human, assistant, episodes = rows

    @eqx.filter_jit
    def live(theta, key):
        start = begin(game, human, assistant, theta, key)
        return advance(
            game,
            human,
            assistant,
            theta,
            start,
            game.horizon,
            lambda before, after, turn: assistant.thoughts(after.assistant),
            key,
        )[1]

    thoughts = jax.vmap(live)(episodes.theta, episodes.key)
    again = jax.vmap(eqx.filter_jit(lambda episode: retrace(game, assistant, episode)))(episodes)
    active = np.asarray(episodes.active)
    np.testing.assert_allclose(np.asarray(again)[active], np.asarray(thoughts)[active], rtol=1e-6)
    other = jax.vmap(lambda episode: retrace(game, assistant, episode))(
        episodes._replace(key=jnp.roll(episodes.key, 1))
    )
    assert not np.allclose(np.asarray(other)[active], np.asarray(thoughts)[active])


def test_one_key_one_episode(rows) -> None:
    game, human, assistant, episodes = rows
    one = play(game, human, assistant, episodes.theta[1], episodes.key[1])
    jax.tree.map(
        lambda alone, batch: np.testing.assert_array_equal(alone, batch[1]),
        one._replace(key=None),
        episodes._replace(key=None),
    )
    assert len(np.unique(np.asarray(episodes.actions).reshape(64, -1), axis=0)) > 1


def through_problem(problem: AssistantProblem, assistant: Assistant, key):
    """The shared reward by turn when `assistant` plays the problem, and the human's memory at the end."""
    start_key, memory_key, turns_key = jax.random.split(key, 3)

    def body(now, key):
        state, memory, over = now
        think_key, act_key, step_key = jax.random.split(key, 3)
        logits, memory = assistant.logits(memory, problem.observe(state), think_key)
        action = problem.game.sample(logits, problem.legal(state), act_key)
        state, reward, ended = problem.step(state, action, step_key)
        return (state, memory, over | ended), jnp.where(over, 0.0, reward)

    state = problem.init(start_key)
    start = state, assistant.init(memory_key), problem.game.finished(state.theta, state.world)
    (last, _, over), rewards = jax.lax.scan(body, start, jax.random.split(turns_key, problem.horizon))
    return rewards, last.human, over


def compare(game: Game, human, assistant: Assistant, number: int):
    """Mean rewards by turn as played and through the problem agree within chance; returns the humans' memories."""
    assert AssistantProblem(game, human).num_actions == game.num_actions[ASSISTANT]

    @jax.jit
    def both(key):
        theta_key, play_key, problem_key = jax.random.split(key, 3)
        episode = play(game, human, assistant, game.sample_theta(theta_key), play_key)
        return episode.rewards.sum(-1), *through_problem(AssistantProblem(game, human), assistant, problem_key)

    played, faced, memories, over = jax.vmap(both)(jax.random.split(jax.random.key(4), number))
    played, faced = np.asarray(played), np.asarray(faced)
    assert np.asarray(over).all()
    errors = np.sqrt((played.var(0) + faced.var(0)) / number)
    assert np.all(np.abs(played.mean(0) - faced.mean(0)) <= 4.5 * errors + 1e-7)
    assert np.abs(played.mean(0)).max() > 0.01, "a comparison of zeros says nothing"
    return memories


def test_the_problem_is_the_game_with_a_partner() -> None:
    item = hidden_item.make(swap=0.3, horizon=3)
    human = boltzmann.make(item, 3.0)
    compare(item, human, belief_planner.make(item, human, depth=1), 4000)
    rows = two_edits.make(2, 3)
    compare(rows, myopic.make(rows), Even(5), 4000)


def test_a_learning_human_learns_inside_the_problem() -> None:
    game = bandit.make(3, 6)
    human = epsilon_greedy.make(game)
    memories = compare(game, human, obey.make(game, human), 4000)
    assert np.all(np.asarray(memories.counts).sum(-1) == 6), "every pull was felt"
    sees = AssistantProblem(game, human)
    state = sees.init(jax.random.key(0))
    assert jax.tree.structure(sees.observe(state)) == jax.tree.structure(game.observe(state.world)[HUMAN])
