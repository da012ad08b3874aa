"""Does a game keep its contract?"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from tacit.contracts.forms import (
    NUM_DRAWS,
    NUM_EPISODES,
    NUM_TURNS,
    num_parameters,
    require,
    require_form,
    require_frequencies,
    require_pure,
)
from tacit.core import ASSISTANT, HUMAN, Game, Legal, Logits, State

FEW_ACTIONS = 64
"""Up to here probabilities are summed over all actions."""


def check_game(game: Game, key: Key[Array, ""]) -> None:
    """Check a game's shapes, legality, rewards, secrecy about theta and action distribution."""
    _check_sizes(game)
    _check_secrecy(game)
    _check_forms(game, key)
    require_pure("The game", lambda key: _stroll(game, key), key)
    even = (game.indifferent(HUMAN), game.indifferent(ASSISTANT))
    walk_key, draw_key = jax.random.split(key)
    keys = jax.random.split(walk_key, NUM_EPISODES)
    steps = eqx.filter_jit(lambda game, keys: jax.vmap(lambda key: _walk(game, even, key))(keys))(game, keys)
    require(steps.may_act.all(), "In some state a player has no legal action; at least one always is.")
    require(np.isfinite(steps.rewards).all(), "Some reward is not finite.")
    require(np.isfinite(steps.felt).all(), "Some felt reward is not finite.")
    passed = _passes(steps)
    require(passed, "An action that is not legal changed the world differently from passing (action 0).")
    _check_distribution(game, even, draw_key)


class _Step(NamedTuple):
    """One turn with random actions: `tried` is one illegal or legal action of each player, `plain` passing instead."""

    may_act: Bool[Array, "2"]
    rewards: Float[Array, "2"]
    felt: Float[Array, ""]
    legal: Bool[Array, "2"]
    tried: Int[Array, "2 2"]
    plain: Int[Array, "2 2"]
    after_tried: State
    after_plain: State


def _walk(game: Game, even: tuple[Logits, Logits], key: Key[Array, ""]) -> _Step:
    """A few turns of an episode in which both players act at random; each field has a leading time axis."""
    theta_key, init_key, turns_key = jax.random.split(key, 3)
    theta = game.sample_theta(theta_key)

    def body(state: State, key: Key[Array, ""]) -> tuple[State, _Step]:
        keys = jax.random.split(key, 6)
        legal = game.legal(state)
        drawn = [game.sample(even[player], legal[player], keys[player]) for player in (HUMAN, ASSISTANT)]
        any_action = [jax.random.randint(keys[2 + player], (), 0, game.num_actions[player]) for player in (0, 1)]
        actions = jnp.stack(drawn)
        tried = jnp.stack([actions.at[player].set(any_action[player]) for player in (0, 1)])
        plain = jnp.stack([actions.at[player].set(0) for player in (0, 1)])
        may = jnp.stack(
            [game.log_prob(even[player], legal[player], any_action[player]) > -jnp.inf for player in (0, 1)]
        )
        moves = jnp.concatenate([actions[None], tried, plain])
        after = jax.vmap(lambda actions: game.step(state, actions, keys[4]))(moves)
        following, tried_states, plain_states = (
            jax.tree.map(lambda leaf, part=part: leaf[part], after) for part in (0, slice(1, 3), slice(3, 5))
        )
        may_act = jnp.stack([_some(legal[player]) for player in (HUMAN, ASSISTANT)])
        rewards = game.reward(theta, state, actions, following)
        felt = game.felt(theta, state, actions, following, keys[5])
        return following, _Step(may_act, rewards, felt, may, tried, plain, tried_states, plain_states)

    turns = min(NUM_TURNS, game.horizon)
    return jax.lax.scan(body, game.init(init_key), jax.random.split(turns_key, turns))[1]


def _passes(steps: _Step) -> bool:
    """Whether every illegal action left the world as passing does, but for a record of the actions."""
    illegal = ~np.asarray(steps.legal)

    def same(tried: Array, plain: Array) -> bool:
        shape = (*illegal.shape, -1)
        tried_rows, plain_rows = np.asarray(tried).reshape(shape)[illegal], np.asarray(plain).reshape(shape)[illegal]
        actions = np.asarray(steps.tried)[illegal], np.asarray(steps.plain)[illegal]
        record = tried_rows.shape[-1:] == (2,) and all(map(np.array_equal, (tried_rows, plain_rows), actions))
        return record or np.array_equal(tried_rows, plain_rows)

    return all(map(same, jax.tree.leaves(steps.after_tried), jax.tree.leaves(steps.after_plain)))


def _check_sizes(game: Game) -> None:
    humans, assistants = game.num_actions
    require(min(humans, assistants) >= 1, f"num_actions is {humans, assistants}; each player has at least one action.")
    require(game.horizon >= 1, f"The horizon is {game.horizon}; a game has at least one turn.")
    require(0.0 < game.discount <= 1.0, f"The discount is {game.discount}; it must be above 0 and at most 1.")


def _check_secrecy(game: Game) -> None:
    """Nothing that makes or shows the state can take theta."""
    takes = (("init", game.init, "the key"), ("step", game.step, "the state, the actions and the key"))
    sees = (("observe", game.observe, "the state"), ("legal", game.legal, "the state"))
    for name, verb, needs in (*takes, *sees):
        expected = num_parameters(vars(Game)[name]) - 1
        require(
            num_parameters(verb) == expected, f"`{name}` takes {needs} and nothing else, so that it cannot leak theta."
        )


def _check_forms(game: Game, key: Key[Array, ""]) -> None:
    theta, state = jax.eval_shape(lambda key: (game.sample_theta(key), game.init(key)), key)
    actions = jax.ShapeDtypeStruct((2,), jnp.int32)
    require_form("The state after `step`", state, jax.eval_shape(game.step, state, actions, key))
    numbers = {
        "reward": (jax.eval_shape(game.reward, theta, state, actions, state), (2,), jnp.floating),
        "felt": (jax.eval_shape(game.felt, theta, state, actions, state, key), (), jnp.floating),
        "finished": (jax.eval_shape(game.finished, theta, state), (), jnp.bool_),
    }
    for name, (result, shape, kind) in numbers.items():
        leaves = jax.tree.leaves(result)
        fits = len(leaves) == 1 and leaves[0].shape == shape and jnp.issubdtype(leaves[0].dtype, kind)
        require(fits, f"`{name}` gives {result}; it must give shape {shape} of {kind.__name__}.")
    for name, pair in (("observe", jax.eval_shape(game.observe, state)), ("legal", jax.eval_shape(game.legal, state))):
        require(isinstance(pair, tuple) and len(pair) == 2, f"`{name}` gives a pair, the human's and the assistant's.")


def _stroll(game: Game, key: Key[Array, ""]) -> Any:
    """Every verb once."""
    theta, state = game.sample_theta(key), game.init(key)
    actions = jnp.zeros(2, jnp.int32)
    after = game.step(state, actions, key)
    return theta, after, game.reward(theta, state, actions, after), game.observe(after), game.legal(after)


def _some(legal: Legal) -> Bool[Array, ""]:
    """Whether anything is legal."""
    return jnp.stack([jnp.any(leaf) for leaf in jax.tree.leaves(legal)]).any()


def _check_distribution(game: Game, even: tuple[Logits, Logits], key: Key[Array, ""]) -> None:
    """`sample` and `log_prob` are one distribution, for uneven random logits in the first state."""
    for player, name in ((HUMAN, "human"), (ASSISTANT, "assistant")):
        draws = eqx.filter_jit(_draws)(game, even[player], player, jax.random.fold_in(key, player))
        actions, log_probs, all_log_probs = (np.asarray(x) for x in draws)
        require(np.isfinite(log_probs).all(), f"The {name}'s action was drawn though its log_prob is not finite.")
        distinct, first, counts = np.unique(actions, return_index=True, return_counts=True)
        chances = np.exp(log_probs[first].astype(np.float64))
        require(chances.sum() <= 1.001, f"The {name}'s action probabilities sum to more than 1.")
        require_frequencies(f"The {name}'s action", counts, chances)
        if game.num_actions[player] <= FEW_ACTIONS:
            total = np.exp(all_log_probs.astype(np.float64)).sum()
            require(abs(total - 1.0) < 1e-3, f"The {name}'s action probabilities sum to {total:.4g}, not to 1.")
            require(distinct.min() >= 0 and distinct.max() < game.num_actions[player], "An action is out of range.")


def _draws(
    game: Game, even: Logits, player: int, key: Key[Array, ""]
) -> tuple[Int[Array, " N"], Float[Array, " N"], Float[Array, " A"]]:
    """Actions drawn in the first state, their log-probabilities, and those of the first few actions there are."""
    init_key, noise_key, draw_key = jax.random.split(key, 3)
    legal = game.legal(game.init(init_key))[player]
    leaves, structure = jax.tree.flatten(even)
    noise_keys = jax.random.split(noise_key, len(leaves))
    noisy = [2.0 * jax.random.normal(key, leaf.shape, leaf.dtype) for key, leaf in zip(noise_keys, leaves, strict=True)]
    logits = jax.tree.unflatten(structure, noisy)
    actions = jax.vmap(lambda key: game.sample(logits, legal, key))(jax.random.split(draw_key, NUM_DRAWS))
    every = jnp.arange(min(game.num_actions[player], FEW_ACTIONS), dtype=jnp.int32)
    log_prob = jax.vmap(lambda action: game.log_prob(logits, legal, action))
    return actions, log_prob(actions), log_prob(every)
