"""Do a human and an assistant keep their contracts in a game?"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from tacit.contracts.forms import NUM_EPISODES, NUM_TURNS, require, require_form, undefined
from tacit.core import ASSISTANT, HUMAN, Assistant, Episode, Game, Human, Logits, Memory, Observation, State, Thoughts
from tacit.play import TurnKeys, advance, begin, join, respond, retrace


def check_human(game: Game, human: Human, key: Key[Array, ""]) -> None:
    """Check a human's memory, and that the likelihood of its choices is exact. Its partner acts at random."""
    theta, state, memory = jax.eval_shape(lambda key: (game.sample_theta(key), game.init(key), human.init(key)), key)
    sees = jax.eval_shape(game.observe, state)[HUMAN]
    _, after = jax.eval_shape(human.logits, theta, memory, sees, key)
    require_form("The human's memory after `logits`", memory, after)
    felt = jax.ShapeDtypeStruct((), jnp.float32)
    require_form("The human's memory after `feel`", memory, jax.eval_shape(human.feel, memory, sees, felt))
    keys = jax.random.split(key, NUM_EPISODES)
    choices = eqx.filter_jit(lambda game, human, keys: jax.vmap(lambda key: _live(game, human, key))(keys))(
        game, human, keys
    )
    require(not choices.undefined.any(), "The human's logits are not a number at some turn.")
    require(
        np.isfinite(choices.log_prob).all(),
        "The human took an action whose probability is 0 or undefined; some legal action must have weight.",
    )
    require(
        choices.keyless.all(),
        "The human's logits depend on the key, so that they are no exact likelihood; "
        "draw what varies by episode in `init`, and give the probabilities of what varies by turn.",
    )


def check_assistant(
    game: Game, human: Human, assistant: Assistant, key: Key[Array, ""], num_turns: int | None = None
) -> None:
    """Check an assistant's memory and choices, and that `retrace` finds its thoughts again.

    Plays whole episodes, or the first `num_turns` turns of each.
    """
    turns = game.horizon if num_turns is None else min(num_turns, game.horizon)
    state, memory = jax.eval_shape(lambda key: (game.init(key), assistant.init(key)), key)
    sees = jax.eval_shape(game.observe, state)[ASSISTANT]
    logits, after = jax.eval_shape(assistant.logits, memory, sees, key)
    require_form("The assistant's memory after `logits`", memory, after)
    blank = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), logits)
    trials = eqx.filter_jit(lambda game, human, assistant, keys: jax.vmap(_Trial(game, human, assistant, turns))(keys))
    trial = trials(game, human, _Aloud(assistant, blank), jax.random.split(key, 2))
    require(not _any_undefined(trial.logits), "The assistant's logits are not a number at some turn.")
    require(not _any_undefined(trial.thoughts), "The assistant's thoughts are not a number somewhere.")
    require(
        np.isfinite(trial.log_prob[trial.active]).all(),
        "The assistant took an action whose probability is 0 or undefined; some legal action must have weight.",
    )
    require(
        _alike(trial.thoughts, trial.retraced, trial.active),
        "Retracing an episode does not give the thoughts that the assistant had; "
        "they may depend on its memory alone, and that on its observations and keys alone.",
    )
    require(trial.still.all(), "The world or the rewards go on after the end of an episode.")


class _Choice(NamedTuple):
    """One choice of the human's, and whether its logits are the same under another key."""

    log_prob: Float[Array, ""]
    undefined: Bool[Array, ""]
    keyless: Bool[Array, ""]


def _live(game: Game, human: Human, key: Key[Array, ""]) -> _Choice:
    """A few turns of a human beside someone who acts at random; each field has a leading time axis."""
    theta_key, init_key, memory_key, turns_key = jax.random.split(key, 4)
    theta = game.sample_theta(theta_key)

    def body(now: tuple[State, Memory], key: Key[Array, ""]) -> tuple[tuple[State, Memory], _Choice]:
        state, memory = now
        turn_key, other_key, partner_key = jax.random.split(key, 3)
        keys = TurnKeys(*jax.random.split(turn_key, len(TurnKeys._fields)))
        sees = game.observe(state)[HUMAN]
        tries = jax.vmap(lambda key: human.logits(theta, memory, sees, key)[0])(jnp.stack([keys.human, other_key]))
        logits = jax.tree.map(lambda leaf: leaf[0], tries)
        partner = jax.random.randint(partner_key, (), 0, game.num_actions[ASSISTANT])
        actions, following, _, memory = respond(game, human, theta, state, memory, partner, keys)
        log_prob = game.log_prob(logits, game.legal(state)[HUMAN], actions[HUMAN])
        alike = [jnp.allclose(*leaf, rtol=1e-4, atol=1e-4, equal_nan=True) for leaf in jax.tree.leaves(tries)]
        broken = [undefined(leaf).any() for leaf in jax.tree.leaves(logits)]
        return (following, memory), _Choice(log_prob, jnp.stack(broken).any(), jnp.stack(alike).all())

    turns = min(NUM_TURNS, game.horizon)
    start = game.init(init_key), human.init(memory_key)
    return jax.lax.scan(body, start, jax.random.split(turns_key, turns))[1]


class _Aloud(Assistant):
    """The same assistant, whose thoughts also tell its last logits."""

    assistant: Assistant
    blank: Logits

    def init(self, key: Key[Array, ""]) -> Memory:
        return self.assistant.init(key), self.blank

    def logits(self, memory: Memory, observation: Observation, key: Key[Array, ""]) -> tuple[Logits, Memory]:
        logits, after = self.assistant.logits(memory[0], observation, key)
        return logits, (after, logits)

    def thoughts(self, memory: Memory) -> Thoughts:
        return self.assistant.thoughts(memory[0]), memory[1]


class _Record(NamedTuple):
    """What a trial found: per turn but for `still`, which is one for the episode."""

    active: Bool[Array, " T"]
    log_prob: Float[Array, " T"]
    logits: Logits
    thoughts: Thoughts
    retraced: Thoughts
    still: Bool[Array, ""]


class _Trial(eqx.Module):
    """One whole episode with an assistant that thinks aloud, and its retrace."""

    game: Game
    human: Human
    assistant: _Aloud
    num_turns: int = eqx.field(static=True)

    def __call__(self, key: Key[Array, ""]) -> _Record:
        game, human, assistant = self.game, self.human, self.assistant
        theta_key, play_key = jax.random.split(key)
        theta = game.sample_theta(theta_key)
        start = begin(game, human, assistant, theta, play_key)
        _, (turns, (thoughts, logits)) = advance(
            game,
            human,
            assistant,
            theta,
            start,
            self.num_turns,
            lambda before, after, turn: (turn, assistant.thoughts(after.assistant)),
            play_key,
        )
        episode = join(theta, start.state, turns, play_key)
        retraced, _ = retrace(game, assistant, episode)
        before = jax.tree.map(lambda leaf: leaf[:-1], episode.states)
        log_prob = jax.vmap(self.log_prob)(before, logits, episode.actions[:, ASSISTANT])
        return _Record(episode.active, log_prob, logits, thoughts, retraced, _still(episode))

    def log_prob(self, state: State, logits: Logits, action: Int[Array, ""]) -> Float[Array, ""]:
        return self.game.log_prob(logits, self.game.legal(state)[ASSISTANT], action)


def _still(episode: Episode) -> Bool[Array, ""]:
    """Whether states and rewards rest once an episode is over."""
    over = ~episode.active

    def rests(leaf: Array) -> Bool[Array, ""]:
        moved = (leaf[1:] != leaf[:-1]).reshape(over.shape[0], -1).any(1)
        return ~jnp.any(moved & over)

    resting = [rests(leaf) for leaf in jax.tree.leaves(episode.states)]
    return jnp.stack(resting).all() & jnp.all(jnp.where(over[:, None], episode.rewards, 0.0) == 0.0)


def _any_undefined(tree: Any) -> bool:
    """Whether a number in a pytree is undefined."""
    return any(bool(undefined(leaf).any()) for leaf in jax.tree.leaves(tree))


def _alike(live: Thoughts, retraced: Thoughts, active: Bool[Array, "B T"]) -> bool:
    """Whether two records of thoughts agree in the turns that were played."""
    pairs = zip(jax.tree.leaves(live), jax.tree.leaves(retraced), strict=True)
    return all(np.allclose(one[active], other[active], rtol=1e-4, atol=1e-4, equal_nan=True) for one, other in pairs)
