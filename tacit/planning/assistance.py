"""What single-player problem does an assistant face whose human chooses in a known way?

Hidden are theta, the world and what the human just did; seen are what the human just did and what the world looks like.
With the human's policy fixed, an assistance game is a POMDP: Hadfield-Menell et al. 2016, arXiv 1606.03137, section 3;
Shah et al. 2020, section 3. Where a coordinator may tell the human how to choose, each way of choosing multiplies the
actions. Axis letters: N thetas, S states, H the human's actions, A the assistant's, C the human's ways of choosing.
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy import sparse

from tacit.arrays import GameArrays, Numbers, Pomdp, distributions, numbers, pomdp

MAX_ENTRIES = 50_000_000
"""The largest number of transitions that a reduced problem may hold."""


def reduce(arrays: GameArrays, human: Numbers) -> Pomdp:
    """The assistant's problem with a human who wants theta n and in state s does h with probability `human[n, s, h]`.

    State (n·S + s)·H + h stands for theta n, world s and the last human action h (0 at first); observation z·H + h for
    that action and what s looks like to the assistant, z numbering what it can see. Before its first action nothing is
    seen: `initial` is the prior. An action that is not legal counts as action 0.
    """
    policy = numbers("human", human, 3, arrays.rewards.shape[:3])
    return with_choices(arrays, distributions("human", policy)[None])


def with_choices(arrays: GameArrays, choices: Numbers) -> Pomdp:
    """The same, with one of C policies of the human chosen every turn as well: action c·A + a is choice c with a."""
    thetas, states, humans, assistants = arrays.rewards.shape
    choices = numbers("choices", choices, 4)
    choices = numbers("choices", choices, 4, (len(choices), thetas, states, humans))
    size = choices.shape[0] * assistants * thetas * np.count_nonzero(arrays.transitions) * humans // assistants
    if size > MAX_ENTRIES:
        raise ValueError(
            f"As one POMDP this game has {len(choices) * assistants} actions and some {size:.2g} transitions, more "
            f"than {MAX_ENTRIES:.2g}; use the generalised backup of planning.cirl, or POMCP, which need no such tables."
        )
    choices = distributions("choices", choices)
    transitions, rewards = counted(arrays)
    looks, seen = np.unique(arrays.sees[1], return_inverse=True)
    hidden = thetas * states * humans
    sight = sparse.csr_array(
        (np.ones(hidden), (np.arange(hidden), (seen[:, None] * humans + np.arange(humans)).ravel().tolist() * thetas)),
        (hidden, len(looks) * humans),
    )
    names = [f"action{action}" for action in range(assistants)]
    if len(choices) > 1:
        names = [f"choice{choice}-{name}" for choice in range(len(choices)) for name in names]
    moves, paid = [], []
    for choice in choices:
        allowed = _legal(choice, arrays.legal_human)
        for action in range(assistants):
            moves.append(_moves(transitions[:, :, action], allowed))
            paid.append(np.einsum("nsh,nsh->ns", allowed, rewards[..., action]))
    initial = np.zeros((thetas, states, humans))
    initial[:, :, 0] = np.outer(arrays.prior, arrays.initial)
    return pomdp(
        moves,
        [sight] * len(moves),
        np.repeat(np.stack(paid, -1).reshape(thetas * states, -1), humans, 0),
        initial.ravel(),
        arrays.discount,
        [f"theta{n}-state{s}-did{h}" for n in range(thetas) for s in range(states) for h in range(humans)],
        names,
        [f"sees{z}-did{h}" for z in looks for h in range(humans)],
    )


def counted(arrays: GameArrays) -> tuple[Float[np.ndarray, "S H A S"], Float[np.ndarray, "N S H A"]]:
    """Transitions and rewards of the actions as they count, where an assistant's that is not legal is its pass."""
    legal = arrays.legal_assistant[:, None, :]
    transitions = np.where(legal[..., None], arrays.transitions, arrays.transitions[:, :, :1])
    return transitions, np.where(legal, arrays.rewards, arrays.rewards[..., :1])


def _legal(choice: Float[np.ndarray, "N S H"], legal: Bool[np.ndarray, "S H"]) -> Float[np.ndarray, "N S H"]:
    """The human's policy as it counts: what is not legal is the pass, and shows as the pass."""
    allowed = np.where(legal, choice, 0.0)
    allowed[..., 0] += np.where(legal, 0.0, choice).sum(-1)
    return allowed


def _moves(transitions: Float[np.ndarray, "S H S"], policy: Float[np.ndarray, "N S H"]) -> sparse.csr_array:
    """P(n, s', h | n, s, any last action) = π(h | n, s) T(s' | s, h)."""
    thetas, states, humans = policy.shape
    blocks = []
    for theta in range(thetas):
        # [S, S', H]: the row is where we are, the column where we come to and by which action of the human.
        joint = np.einsum("sh,sht->sth", policy[theta], transitions).reshape(states, states * humans)
        blocks.append(sparse.kron(sparse.csr_array(joint), np.ones((humans, 1)), format="csr"))
    return sparse.csr_array(sparse.block_diag(blocks, format="csr"))
