"""What does it look like to help someone act whose taste nobody knows? They ask, you decide, they feel.

Any decision problem with hidden rewards becomes a game of rounds: in one turn the human asks for an option; in the next
the assistant passes, which gives them what they asked for, or gives another; and the human feels how it was. An
assistant that always passes obeys. Chan et al. 2019, "The Assistive Multi-Armed Bandit", arXiv 1901.08654, is the
problem with one state. Axis letters: S states, K options, N thetas, F feelings.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from tacit.arrays import GameArrays, Numbers, distributions, game_arrays, numbers
from tacit.core import ASSISTANT, HUMAN, Theta
from tacit.games.tabular import State, TabularGame

MAX_NUMBERS = 10_000_000
"""The most numbers that a table of feelings may hold."""

OFF = 1e-6
"""How far the mean of what is felt may be from the reward."""


class FeltGame(TabularGame):
    """A game given by arrays whose human feels more or less than the expected reward.

    `feels[n, s, h, a, f]` is the probability of feeling `levels[f]`; the mean must be the reward.
    """

    levels: Float[np.ndarray, " F"]
    feels: Float[np.ndarray, "N S H A F"]

    def __init__(self, arrays: GameArrays, levels: Numbers, feels: Numbers):
        """Raises ValueError naming the array, the index and the value that is wrong."""
        self.arrays = arrays
        self.levels = numbers("levels", levels, 1)
        self.feels = distributions("feels", numbers("feels", feels, 5, (*arrays.rewards.shape, len(self.levels))))
        off = np.abs(self.feels @ self.levels - arrays.rewards)
        if off.max() > OFF:
            where = tuple(int(index) for index in np.argwhere(off > OFF)[0])
            raise ValueError(
                f"feels{list(where)} has mean {(self.feels @ self.levels)[where]:g} but rewards{list(where)} is "
                f"{arrays.rewards[where]:g}; what is felt must be the reward on average."
            )

    def felt(
        self, theta: Theta, state: State, actions: Int[Array, "2"], next_state: State, key: Key[Array, ""]
    ) -> Float[Array, ""]:
        """One draw."""
        del next_state
        taken = self.taken(state, actions)
        row = jnp.asarray(self.feels, jnp.float32)[theta, state.number, taken[HUMAN], taken[ASSISTANT]]
        return jnp.asarray(self.levels, jnp.float32)[jax.random.categorical(key, jnp.log(row))]


def feelings(game: TabularGame) -> tuple[Float[np.ndarray, " F"], Float[np.ndarray, "N S H A F"]]:
    """The levels of what is felt and their probabilities; where a game does not say, the reward itself is felt."""
    if isinstance(game, FeltGame):
        return game.levels, game.feels
    levels, which = np.unique(game.arrays.rewards, return_inverse=True)
    if game.arrays.rewards.size * len(levels) > MAX_NUMBERS:
        raise ValueError(
            f"This game pays {len(levels)} different rewards in {game.arrays.rewards.size} ways, too many to list as "
            "feelings; give it a few levels of feeling (FeltGame)."
        )
    return levels, np.eye(len(levels))[which.reshape(game.arrays.rewards.shape)]


def all_or_nothing(
    rewards: Float[np.ndarray, "*shape"], scale: tuple[float, float] | None = None
) -> tuple[Float[np.ndarray, " F"], Float[np.ndarray, "*shape F"]]:
    """Feel only the worst or the best there is, so that the mean is the reward: the noisiest feelings.

    P(best) = (r - worst) / (best - worst). The `scale` from worst to best spans the rewards and 0, unless it is given.
    0 is a level as well, for what is not felt at all.
    """
    lowest, highest = min(0.0, float(rewards.min())), max(0.0, float(rewards.max()))
    worst, best = (lowest, highest) if scale is None else scale
    if not worst <= lowest <= highest <= best:
        raise ValueError(
            f"The scale runs from {worst} to {best}; it must hold 0 and the rewards, {lowest} to {highest}."
        )
    levels = np.unique([worst, 0.0, best])
    high = (rewards - worst) / max(best - worst, np.finfo(float).tiny)
    chances = np.zeros((*rewards.shape, len(levels)))
    chances[..., 0] = 1.0 - high
    chances[..., -1] += high
    return levels, chances


def make_asking(
    transitions: Numbers,
    rewards: Numbers,
    prior: Numbers,
    initial: Numbers,
    num_rounds: int,
    discount: float = 1.0,
    scale: tuple[float, float] | None = None,
) -> FeltGame:
    """The game of asking in a decision problem: `transitions[s, k, s']`, `rewards[n, s, k]`, option 0 being the usual.

    What is felt is all or nothing, on `scale`. World s is state s while the human asks (passing asks for option 0)
    and state S + s·K + k once they have asked for k; then the assistant's action 0 gives them k and action
    1 + j gives them j. `discount` is a turn's, two turns making a round.
    """
    transitions, rewards = numbers("transitions", transitions, 3), numbers("rewards", rewards, 3)
    states, options = transitions.shape[:2]
    transitions = distributions("transitions", numbers("transitions", transitions, 3, (states, options, states)))
    rewards = numbers("rewards", rewards, 3, (len(rewards), states, options))
    if num_rounds < 1:
        raise ValueError(f"num_rounds is {num_rounds}; a game of asking has at least one round.")
    total = states * (1 + options)
    asked = np.arange(states, total).reshape(states, options)
    # given[s, k, a] is the option that is given in world s where k was asked for.
    given = np.broadcast_to(np.arange(-1, options), (options, options + 1)).copy()
    given[:, 0] = np.arange(options)
    moves = np.zeros((total, options, options + 1, total))
    paid = np.zeros((len(rewards), total, options, options + 1))
    felt_levels, felt = all_or_nothing(rewards, scale)
    feels = np.zeros((*paid.shape, len(felt_levels)))
    feels[..., np.flatnonzero(felt_levels == 0.0)[0]] = 1.0
    moves[np.arange(states)[:, None], np.arange(options), :, asked] = 1.0
    for state in range(states):
        for option in range(options):
            place = asked[state, option]
            moves[place, :, :, :states] = transitions[state, given[option]]
            paid[:, place] = rewards[:, state, given[option]][:, None]
            feels[:, place] = felt[:, state, given[option]][:, None]
    asking = np.arange(total) < states
    arrays = game_arrays(
        moves,
        paid,
        prior,
        np.concatenate([numbers("initial", initial, 1, (states,)), np.zeros(total - states)]),
        2 * num_rounds,
        discount,
        legal_human=asking[:, None] | (np.arange(options) == 0),
        legal_assistant=~asking[:, None] | (np.arange(options + 1) == 0),
    )
    return FeltGame(arrays, felt_levels, feels)
