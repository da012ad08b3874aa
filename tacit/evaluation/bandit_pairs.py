"""What does a pair of people earn at a bandit on average, exactly, and what could the best assistant make of a learner?

For a human who learns, what is felt has a chance that follows from what was felt before: the mean of arm k is
Beta(1 + successes, 1 + failures), so a pull pays 1 with its mean. Every course that an episode can take is followed
with its probability, and courses that nobody can tell apart any more are one. Chances are those of the players' own
`logits`.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from tacit.assistants import random
from tacit.assistants.learner_filter import ignores_theta
from tacit.contracts.forms import reads
from tacit.core import ASSISTANT, HUMAN, Assistant, Game, Human, Memory
from tacit.games.bandit import NO_ARM, Bandit, State
from tacit.humans.counting import Tried, bandit, nothing_tried

MAX_COURSES = 2_000_000
"""The largest number of courses that are told apart in one turn."""

CHUNK = 512
"""Courses that are followed in one call of the compiled turn."""


class Course(NamedTuple):
    """How an episode may stand: all that what comes next depends on. With a leading axis of courses in this module."""

    tried: Tried
    state: State
    human: Memory
    assistant: Memory


class Fork(NamedTuple):
    """The 2K ways in which each of N courses may go on in a turn: which arm (asked for or pulled), and what it pays.

    `arm` and `felt` tell the ways apart. `paid` is the chance of what is felt, `mean` the reward that is expected.
    """

    arm: Int[np.ndarray, " M"]
    felt: Int[np.ndarray, " M"]
    human: Float[np.ndarray, "N M"]
    assistant: Float[np.ndarray, "N M"]
    paid: Float[np.ndarray, "N M"]
    mean: Float[np.ndarray, "N M"]
    courses: Course


def expected_reward(game: Game, human: Human, assistant: Assistant) -> float:
    """The expected sum of rewards of a learning human and an assistant, neither of whom draws anything by a key."""
    game = _checked(game, human, assistant)
    courses, chances, total = _start(game, human, assistant), np.ones(1), 0.0
    for _ in range(game.horizon):
        fork = _follow(game, human, assistant, courses)
        taken = chances[:, None] * fork.human * fork.assistant
        total += float((taken * fork.paid * fork.mean).sum())
        courses, chances, _ = _merge(fork.courses, (taken * fork.paid).reshape(-1))
    return total


def best_assistance(game: Game, human: Human) -> float:
    """The expected sum of rewards of a learning human with the best assistant for them.

    Over everything that the assistant may have seen, which is each request and pull so far: the chances of all courses
    that look alike are one unnormalised belief, and V(belief) = Σ_request max_pull [ reward + V(belief after) ].
    """
    everyone = random.make(game, human)
    game = _checked(game, human, everyone)
    arms = game.num_arms
    episodes = arms ** (2 * game.num_rounds)
    if episodes > MAX_COURSES:
        raise ValueError(
            f"An assistant can see {episodes:.2g} different episodes in a bandit of {arms} arms and {game.num_rounds} "
            f"rounds, more than {MAX_COURSES:.2g}; play `learner_filter` instead."
        )
    courses, chances, seen = _start(game, human, everyone), np.ones(1), np.zeros(1, np.int64)
    rewards = []
    for time in range(game.horizon):
        fork = _follow(game, human, everyone, courses)
        taken = chances[:, None] * fork.human * fork.paid
        sees = (seen[:, None] * arms + fork.arm).reshape(-1)
        if time % 2:
            earned = (taken * fork.mean).reshape(-1)
            rewards.append(np.bincount(sees, earned, minlength=arms ** (time + 1)).reshape(-1, arms))
        courses, chances, seen = _merge(fork.courses, taken.reshape(-1), sees)
    value = np.zeros(arms**game.horizon)
    for reward in rewards[::-1]:  # after each request, by what was seen before it and then by pull
        value = (reward + value.reshape(reward.shape)).max(1).reshape(-1, arms).sum(1)
    return float(value.sum())


def felt_by(game: Game, human: Human, requests: Sequence[int], pulls: Sequence[int]) -> Float[np.ndarray, " K"]:
    """E[θ | requests, pulls] about a learning human, by every way in which the pulls may have felt.

    Pulls that no request has followed yet may be left out.
    """
    game = _checked(game, human, random.make(game, human))
    rounds = [*zip_longest(requests, pulls)]
    if not 0 < len(requests) <= game.num_rounds or len(pulls) not in (len(requests), len(requests) - 1):
        raise ValueError(
            f"There are {len(requests)} requests and {len(pulls)} pulls in {game.num_rounds} rounds; "
            "a round begins with a request, and only the last may lack its pull."
        )
    moves = [arm for pair in rounds for arm in pair if arm is not None]
    courses, chances = _start(game, human, random.make(game, human)), np.ones(1)
    for time, arm in enumerate(moves):
        if not 0 <= arm < game.num_arms:
            raise ValueError(f"Turn {time} is about arm {arm}; arms run from 0 to {game.num_arms - 1}.")
        fork = _follow(game, human, random.make(game, human), courses)
        likely = chances[:, None] * fork.human * fork.paid * (fork.arm == arm)
        if not likely.any():
            raise ValueError(f"This human would never ask for arm {arm} in turn {time}, whatever they felt before.")
        courses, chances, _ = _merge(fork.courses, likely.reshape(-1))
    means = (1.0 + np.float64(courses.tried.sums)) / (2.0 + courses.tried.counts)
    return chances @ means / chances.sum()


def _checked(game: Game, human: Human, assistant: Assistant) -> Bandit:
    """The bandit, if its courses can be followed with these players."""
    game = bandit(game, "An exact evaluation of a learner")
    if not ignores_theta(game, human):
        raise ValueError("This human's choices depend on theta; only a learner's follow from what was felt.")
    key = jax.random.key(0)
    sees = game.observe(game.init(key))
    their, own = human.init(key), assistant.init(key)
    choices: list[tuple[str, Callable[[Any], Any]]] = [
        ("human", lambda key: (human.init(key), human.logits(jnp.zeros(game.num_arms), their, sees[HUMAN], key))),
        ("assistant", lambda key: (assistant.init(key), assistant.logits(own, sees[ASSISTANT], key))),
    ]
    for who, choose in choices:
        if reads(choose, key):
            raise ValueError(
                f"This {who} draws by its key, so that its courses cannot be listed; play episodes instead."
            )
    return game


def _start(game: Bandit, human: Human, assistant: Assistant) -> Course:
    """The one course before the first turn."""
    key = jax.random.key(0)
    course = Course(nothing_tried(game.num_arms), game.init(key), human.init(key), assistant.init(key))
    return jax.tree.map(lambda leaf: np.asarray(leaf)[None], course)


@eqx.filter_jit
def _turn(
    game: Bandit, human: Human, assistant: Assistant, courses: Course, arm: Int[Array, " M"], felt: Float[Array, " M"]
) -> tuple[Float[Array, "N H"], Float[Array, "N A"], Course]:
    """Log-probabilities of each player's actions, and where each way leads, for each course."""
    key = jax.random.key(0)

    def one(course: Course) -> tuple[Float[Array, " H"], Float[Array, " A"], Course]:
        sees, legal = game.observe(course.state), game.legal(course.state)
        blind = jnp.zeros(game.num_arms)  # theta, which a learner does not look at
        human_logits, human_memory = human.logits(blind, course.human, sees[HUMAN], key)
        logits, memory = assistant.logits(course.assistant, sees[ASSISTANT], key)

        def lead(arm: Int[Array, ""], felt: Float[Array, ""]) -> Course:
            state = game.step(course.state, jnp.stack([arm, arm]) + 1, key)
            learned = human.feel(human_memory, game.observe(state)[HUMAN], felt)
            return Course(course.tried.add(state.pulled, felt), state, learned, memory)

        def told(player: int, logits: Float[Array, " A"]) -> Float[Array, " A"]:
            actions = jnp.arange(game.num_actions[player], dtype=jnp.int32)
            return jax.vmap(lambda action: game.log_prob(logits, legal[player], action))(actions)

        return told(HUMAN, human_logits), told(ASSISTANT, logits), jax.vmap(lead)(arm, felt)

    return jax.vmap(one)(courses)


def _follow(game: Bandit, human: Human, assistant: Assistant, courses: Course) -> Fork:
    """One turn of every course. Chances are scaled to sum to one in double precision."""
    arm, felt = np.divmod(np.arange(2 * game.num_arms, dtype=np.int32), 2)
    parts = [
        _turn(game, human, assistant, chunk, jnp.asarray(arm), jnp.asarray(felt, jnp.float32))
        for chunk in _chunks(courses)
    ]
    size = courses.state.time.shape[0]
    human_told, told, following = jax.tree.map(lambda *leaves: np.concatenate(leaves)[:size], *parts)
    asking = int(courses.state.time[0]) % 2 == 0
    player = human_told if asking else told
    chances = np.exp(np.float64(player[:, 1:]))
    chances = (chances / chances.sum(1, keepdims=True))[:, arm]
    counts, sums = courses.tried.counts.astype(np.float64), courses.tried.sums.astype(np.float64)
    means = ((1.0 + sums) / (2.0 + counts))[:, arm]
    pulled = following.state.pulled != NO_ARM
    mean = np.where(pulled, means, 0.0)
    paid = np.where(felt == 1, mean, 1.0 - mean)
    sure = np.ones_like(chances)
    return Fork(arm, felt, chances if asking else sure, sure if asking else chances, paid, mean, following)


def _chunks(courses: Course) -> Iterator[Course]:
    """Equally large parts, the last filled up with copies, so that the turn is compiled once."""
    size = courses.state.time.shape[0]
    for start in range(0, size, CHUNK):
        rows = np.minimum(np.arange(start, start + CHUNK), size - 1)
        yield jax.tree.map(lambda leaf, rows=rows: leaf[rows], courses)


def _merge(
    forked: Course, chances: Float[np.ndarray, " W"], seen: Int[np.ndarray, " W"] | None = None
) -> tuple[Course, Float[np.ndarray, " N"], Int[np.ndarray, " N"]]:
    """The courses that can happen, those that are alike (and look alike) as one with the sum of their chances."""
    possible = np.flatnonzero(chances > 0.0)
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[possible], forked)
    sights = np.zeros(len(possible), np.int64) if seen is None else seen[possible]
    rows = [np.ascontiguousarray(leaf).reshape(len(possible), -1) for leaf in [sights, *jax.tree.leaves(flat)]]
    table = np.concatenate([row.view(np.uint8) for row in rows if row.size], axis=1)
    _, first, group = np.unique(
        np.ascontiguousarray(table).view(f"V{table.shape[1]}").ravel(), return_index=True, return_inverse=True
    )
    if len(first) > MAX_COURSES:
        raise ValueError(
            f"There are {len(first):.2g} courses to tell apart, more than {MAX_COURSES:.2g}; "
            "take fewer rounds, or play episodes instead."
        )
    merged = jax.tree.map(lambda leaf: leaf[first], flat)
    return merged, np.bincount(group, chances[possible]), sights[first]
