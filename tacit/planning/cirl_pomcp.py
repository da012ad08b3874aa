"""How do human and assistant plan together where exact backups are too many? One tree, in which the human knows theta.

POMCP with the generalised backup (Malik et al. 2018, arXiv 1806.03820, section 5.2). Theta is drawn from the belief at
the root of each simulation. At a history the assistant's action a is chosen by an upper confidence bound; the human,
who knows theta and foresees a, chooses by Q(history, a, theta, h), the mean return of that very choice. While the tree
grows, its upper confidence bound stands in for Q, for a rational human and for one with P(h) ∝ exp(rationality · Q):
the bonus fades, and a human who never tried the other choices would settle on a language that is not the best. So each
learns what the other's choices are for: the human's become pedagogic, the assistant's reading of them pragmatic. A
history is (h, a, s') turn by turn, all of it public.

Axis letters: B searches, K nodes, N thetas, S states, H the human's actions, A the assistant's, T turns; C = 2 A counts
of the assistant, R = K A N rows of D = 2 H counts of the human, L successors.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key
from scipy import sparse

from tacit.arrays import GameArrays
from tacit.planning import pomcp
from tacit.planning.assistance import counted
from tacit.planning.dice import quick
from tacit.planning.sweeps import check_sight
from tacit.planning.tabular_simulator import Rows, draw, pick, rows

NEVER = -1e9
"""Worse than any return."""


@dataclass(frozen=True)
class Config:
    """How long to search, how boldly, and how rational the human is (infinity: fully)."""

    exploration: float
    """The constant c of both players' bounds, in units of reward."""
    num_simulations: int = 4096
    epsilon: float = 0.01
    """Simulations stop at the turn t where γᵗ falls below this, or at the horizon."""
    rationality: float = math.inf


class PublicGame(eqx.Module):
    """A game by arrays whose state both players see, as the search simulates it. Action h · A + a is one of each."""

    moves: Rows
    rewards: Float[Array, "N S H A"]
    prior: Float[Array, " N"]
    start: Rows
    legal_human: Bool[Array, "S H"]
    legal_assistant: Bool[Array, "S A"]
    num_turns: int | None
    discount: float

    def __init__(self, arrays: GameArrays):
        """ValueError if a player does not see the state."""
        check_sight(arrays)
        transitions, rewards = counted(arrays)
        _, states, humans, assistants = rewards.shape
        joint = transitions.transpose(1, 2, 0, 3).reshape(humans * assistants, states, states)
        self.moves = rows([sparse.csr_array(matrix) for matrix in joint], states)
        self.rewards = jnp.asarray(rewards, jnp.float32)
        self.prior = jnp.asarray(arrays.prior, jnp.float32)
        self.start = rows([sparse.csr_array(arrays.initial[None])], 1)
        self.legal_human, self.legal_assistant = jnp.asarray(arrays.legal_human), jnp.asarray(arrays.legal_assistant)
        self.num_turns, self.discount = arrays.horizon, arrays.discount


class PairSearch(NamedTuple):
    """What the searches found at their roots: as `pomcp.Search` for the assistant, and the human's answers to it.

    `human[b, n, h]` is how a human who wants theta n chooses there.
    """

    values: Float[Array, "B A"]
    visits: Int[Array, "B A"]
    action: Int[Array, " B"]
    human: Float[Array, "B N H"]


class Tree(NamedTuple):
    """All trees: N then W for each action, of the assistant at node k and of the human at (k · A + a) · N + theta.

    `children` is as in `pomcp.Tree`: the edge ((k · H + h) · A + a) · L + l leads to the l-th successor.
    """

    assistant: Float[Array, "B K C"]
    human: Float[Array, "B R D"]
    children: Int[Array, "B J E"]


class Walk(NamedTuple):
    """One simulation of every search: where each is, and what was done in the tree (node -1: not in the tree)."""

    turn: Int[Array, ""]
    state: Int[Array, " B"]
    theta: Int[Array, " B"]
    throws: Key[Array, " B"]
    node: Int[Array, " B"]
    left: Int[Array, " B"]
    nodes: Int[Array, "T B"]
    joint: Int[Array, "T B"]
    rewards: Float[Array, "T B"]


@eqx.filter_jit
def search(
    game: PublicGame,
    state: Int[Array, " B"],
    belief: Float[Array, "B N"],
    config: Config,
    keys: Key[Array, " B"],
    turns: Int[Array, ""] | None = None,
) -> PairSearch:
    """Search from B public states and beliefs about theta, at most `turns` ahead where it is given."""
    batch, (thetas, _, humans, assistants) = keys.shape[0], game.rewards.shape
    length = pomcp.depth(game.num_turns, game.discount, config.epsilon)
    successors, num_nodes = game.moves.places.shape[-1], config.num_simulations + 1
    _check(config, batch, thetas, humans, assistants, successors)
    end = jnp.asarray(length, jnp.int32) if turns is None else jnp.minimum(turns, length).astype(jnp.int32)
    dice = jax.vmap(quick)(keys)

    def simulate(number: Int[Array, ""], tree: Tree) -> Tree:
        throws = jax.vmap(lambda key: jax.random.fold_in(key, number))(dice)
        theta = jax.vmap(jax.random.categorical)(throws, jnp.log(belief)).astype(jnp.int32)
        walk = jax.lax.while_loop(
            lambda walk: jnp.any(walk.node >= 0) & (walk.turn < end),
            lambda walk: _descend(game, config, tree, walk),
            _begin(state, theta, throws, length),
        )
        total = _play_on(game, config, tree, walk, end)
        return _credit(game, tree, walk, total, number + 1)

    empty = Tree(
        jnp.zeros((batch, num_nodes, 2 * assistants)),
        jnp.zeros((batch, num_nodes * assistants * thetas, 2 * humans)),
        pomcp.buckets(batch, num_nodes),
    )
    tree = jax.lax.fori_loop(0, config.num_simulations, simulate, empty)
    found = pomcp.results(tree.assistant[:, 0])
    answers = tree.human[jnp.arange(batch)[:, None], found.action[:, None] * thetas + jnp.arange(thetas)[None]]
    human = _answers(answers, game.legal_human[state][:, None], config.rationality)
    return PairSearch(found.values, found.visits, found.action, human)


@eqx.filter_jit
def play_pair(game: PublicGame, config: Config, num_turns: int, keys: Key[Array, " B"]) -> Float[Array, " B"]:
    """Discounted returns of a pair that plans together, one episode for each key.

    At every turn one search, of what both know, says what the assistant does and how the human would answer for each
    theta. The human answers for their own, and Bayes' rule on those answers gives the next belief.
    """
    batch, dice = keys.shape[0], jax.vmap(quick)(keys)
    first = jax.vmap(lambda key: jax.random.split(jax.random.fold_in(key, num_turns), 2))(dice)
    theta = jax.vmap(lambda key: jax.random.categorical(key, jnp.log(game.prior)))(first[:, 0])
    nothing = jnp.zeros(batch, jnp.int32)
    follow = jax.vmap(draw, (None, 0, 0, 0))
    state = follow(game.start, nothing, nothing, jax.vmap(jax.random.uniform)(first[:, 1]))

    def turn(carry: tuple, time: Int[Array, ""]) -> tuple[tuple, None]:
        state, belief, returns, weight = carry
        throws = jax.vmap(lambda key: jax.random.split(jax.random.fold_in(key, time), 3))(dice)
        plan = search(game, state, belief, config, throws[:, 0], num_turns - time)
        answers = plan.human[jnp.arange(batch), theta]
        human = jax.vmap(jax.random.categorical)(throws[:, 1], jnp.log(answers))
        joint = human * game.rewards.shape[-1] + plan.action
        returns = returns + weight * game.rewards[theta, state, human, plan.action]
        likely = belief * plan.human[jnp.arange(batch), :, human]
        belief = likely / likely.sum(1, keepdims=True)
        state = follow(game.moves, joint, state, jax.vmap(jax.random.uniform)(throws[:, 2]))
        return (state, belief, returns, weight * game.discount), None

    start = (state, jnp.tile(game.prior, (batch, 1)), jnp.zeros(batch), jnp.ones(()))
    (_, _, returns, _), _ = jax.lax.scan(turn, start, jnp.arange(num_turns))
    return returns


def _begin(state: Int[Array, " B"], theta: Int[Array, " B"], throws: Key[Array, " B"], length: int) -> Walk:
    """A walk at the root."""
    zero = jnp.zeros_like(state)
    path = jnp.zeros((length, state.shape[0]), jnp.int32)
    return Walk(jnp.zeros((), jnp.int32), state, theta, throws, zero, zero - 1, path - 1, path, path.astype(float))


def _move(
    game: PublicGame, config: Config, tree: Tree, walk: Walk
) -> tuple[Int[Array, " B"], Int[Array, " B"], Int[Array, " B"], Float[Array, " B"]]:
    """The joint action, the successor's entry and number, and the reward. Outside the tree both choose evenly."""
    thetas, _, _, assistants = game.rewards.shape
    keys = jax.vmap(lambda key: jax.random.split(jax.random.fold_in(key, walk.turn + 1), 4))(walk.throws)
    lanes, node, within = jnp.arange(len(walk.node)), jnp.maximum(walk.node, 0), (walk.node >= 0)[:, None]
    scores = pomcp.bounds(tree.assistant[lanes, node], config.exploration)
    legal = game.legal_assistant[walk.state]
    assistant = jax.vmap(_first_best)(jnp.where(within, scores, 0.0), legal, keys[:, 0])
    scores = _urges(tree.human[lanes, (node * assistants + assistant) * thetas + walk.theta], config, keys[:, 1])
    legal = game.legal_human[walk.state]
    human = jax.vmap(_first_best)(jnp.where(within, scores, 0.0), legal, keys[:, 2])
    joint = human * assistants + assistant
    entry = jax.vmap(pick, (None, 0, 0, 0))(game.moves, joint, walk.state, jax.vmap(jax.random.uniform)(keys[:, 3]))
    reward = game.rewards[walk.theta, walk.state, human, assistant]
    return joint, entry, game.moves.places[joint, walk.state, entry], reward


def _descend(game: PublicGame, config: Config, tree: Tree, walk: Walk) -> Walk:
    """One turn of every search of which one is still in its tree."""
    joint, entry, state, reward = _move(game, config, tree, walk)
    within, node = walk.node >= 0, jnp.maximum(walk.node, 0)
    joints, _, successors = game.moves.places.shape
    edge = (node * joints + joint) * successors + entry
    child = pomcp.find(tree.children, edge)
    return walk._replace(
        turn=walk.turn + 1,
        state=state,
        node=jnp.where(within & (child > 0), child, -1),
        left=jnp.where(within & (child == 0), edge, walk.left),
        nodes=walk.nodes.at[walk.turn].set(walk.node),
        joint=walk.joint.at[walk.turn].set(joint),
        rewards=walk.rewards.at[walk.turn].set(reward),
    )


def _play_on(game: PublicGame, config: Config, tree: Tree, walk: Walk, end: Int[Array, ""]) -> Float[Array, " B"]:
    """Returns of playing on evenly to the end, all searches having left their trees."""

    def turn(carry: tuple[Walk, Float[Array, " B"], Float[Array, ""]]) -> tuple:
        walk, total, weight = carry
        _, _, state, reward = _move(game, config, tree, walk)
        return walk._replace(turn=walk.turn + 1, state=state), total + weight * reward, weight * game.discount

    walk = walk._replace(node=jnp.full_like(walk.node, -1))
    start = (walk, jnp.zeros(len(walk.node)), jnp.ones(()))
    return jax.lax.while_loop(lambda carry: carry[0].turn < end, turn, start)[1]


def _credit(game: PublicGame, tree: Tree, walk: Walk, total: Float[Array, " B"], child: Int[Array, ""]) -> Tree:
    """Each choice in the tree has one visit more and what followed it; each tree has one node more."""
    thetas, _, _, assistants = game.rewards.shape

    def turn(carry: tuple) -> tuple:
        turn, total, assistant_counts, human_counts = carry
        total = walk.rewards[turn] + game.discount * total
        node, (human, assistant) = walk.nodes[turn], jnp.divmod(walk.joint[turn], assistants)
        row = jnp.where(node < 0, -1, (node * assistants + assistant) * thetas + walk.theta)
        assistant_counts = pomcp.credited(assistant_counts, node, assistant, total)
        return turn - 1, total, assistant_counts, pomcp.credited(human_counts, row, human, total)

    back = (walk.turn - 1, total, tree.assistant, tree.human)
    *_, assistant_counts, human_counts = jax.lax.while_loop(lambda carry: carry[0] >= 0, turn, back)
    return Tree(assistant_counts, human_counts, pomcp.grown(tree.children, walk.left, child))


def _first_best(scores: Float[Array, " A"], legal: Bool[Array, " A"], key: Key[Array, ""]) -> Int[Array, ""]:
    """The legal action of the highest score, drawn evenly among equals."""
    most = jnp.max(jnp.where(legal, scores, -jnp.inf))
    return pomcp.even(None, legal & (scores == most), key)


def _urges(counts: Float[Array, "B D"], config: Config, keys: Key[Array, " B"]) -> Float[Array, "B H"]:
    """Scores whose best the human in the search does: the upper bounds U, or noise that makes it P(h) ∝ exp(β U(h))."""
    upper = pomcp.bounds(counts, config.exploration)
    if math.isinf(config.rationality):
        return upper
    noise = jax.vmap(lambda key: jax.random.gumbel(key, upper.shape[1:]))(keys)
    return jnp.where(upper < jnp.inf, config.rationality * upper + noise, jnp.inf)


def _answers(counts: Float[Array, "B N D"], legal: Bool[Array, "B 1 H"], rationality: float) -> Float[Array, "B N H"]:
    """How a human of each theta chooses by what the search found; what was never tried is not chosen."""
    visits, totals = jnp.split(counts, 2, axis=-1)
    values = jnp.where(visits > 0, totals / jnp.maximum(visits, 1.0), NEVER)
    values = jnp.where(legal, values, -jnp.inf)
    if math.isinf(rationality):
        return jax.nn.one_hot(jnp.argmax(values, axis=-1), values.shape[-1])
    return jax.nn.softmax(rationality * values, axis=-1)


def _check(config: Config, batch: int, thetas: int, humans: int, assistants: int, successors: int) -> None:
    """Refuse what cannot be searched, before memory runs out."""
    if not config.rationality >= 0.0:
        raise ValueError(f"The rationality is {config.rationality}; it must be at least 0.")
    width = 2 * assistants * (1 + humans * thetas)
    pomcp.check_size(batch, config.num_simulations, config.exploration, width, assistants * humans * successors)
