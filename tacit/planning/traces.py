"""What does a plan do, step by step? Its turns along the observations that can come, for people to read.

A plan of `planning.reachable` says what to do at every belief; a trace is one way in which that can go. Of equally good
actions a trace takes the first that differs from action 0 (passing, in a game): what can be done now is not put off.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from tacit.arrays import Pomdp
from tacit.planning.reachable import ReachablePlan

TIE = 1e-10
"""Values that differ by less are taken for equal."""

MAX_TRACES = 10_000
"""The most ways for a plan to go that are listed."""


class Step(NamedTuple):
    """One turn: what is done, what was as good, what it is worth from here on; then what is seen, and how likely.

    After the last turn nothing is seen any more (an empty text).
    """

    turn: int
    action: str
    as_good: tuple[str, ...]
    value: float
    observation: str
    chance: float


class Trace(NamedTuple):
    """One way for a plan to go, and how likely it is."""

    steps: tuple[Step, ...]
    chance: float

    @property
    def actions(self) -> tuple[str, ...]:
        """What is done, turn by turn."""
        return tuple(step.action for step in self.steps)

    @property
    def observations(self) -> tuple[str, ...]:
        """What is seen, after every turn but the last."""
        return tuple(step.observation for step in self.steps[:-1])

    def __str__(self) -> str:
        """A line for each turn."""
        width = max(len(step.action) for step in self.steps)
        lines = [f"with probability {self.chance:.4g}:"]
        for step in self.steps:
            lines.append(f"  {step.turn:3d}  {step.action:{width}}  {step.observation}".rstrip())
        return "\n".join(lines)


def named(pomdp: Pomdp, actions: Sequence[str], sights: Sequence[str], answers: Sequence[str]) -> Pomdp:
    """What `assistance.reduce` made, with names for the assistant's actions, what it can see and what the human does.

    The human's action 0 is not worth a word: an observation is "wormy", or "wormy-hears-trash".
    """
    count = len(pomdp.observation_names)
    if len(actions) != len(pomdp.action_names) or len(sights) * len(answers) != count:
        raise ValueError(
            f"There are {len(actions)} actions, {len(sights)} sights and {len(answers)} answers for the "
            f"{len(pomdp.action_names)} actions and {count} observations of the problem."
        )
    seen = tuple(
        f"{sight}-hears-{answer}" if told else sight for sight in sights for told, answer in enumerate(answers)
    )
    return pomdp._replace(action_names=tuple(actions), observation_names=seen)


def traces(pomdp: Pomdp, plan: ReachablePlan) -> list[Trace]:
    """Every way for the plan to go, the likeliest first, in the names of the POMDP (see `named`)."""
    found = []
    for steps in _unroll(pomdp, plan, 0, 0):
        found.append(Trace(steps, math.prod(step.chance for step in steps)))
        if len(found) > MAX_TRACES:
            raise ValueError(f"The plan can go in more than {MAX_TRACES} ways; follow one of them with `follow`.")
    return sorted(found, key=lambda trace: -trace.chance)


def follow(pomdp: Pomdp, plan: ReachablePlan, observations: Sequence[str]) -> Trace:
    """The way for the plan to go when these are the observations: one after every turn but the last."""
    if len(observations) != len(plan.links):
        raise ValueError(f"There are {len(observations)} observations; this plan makes {len(plan.links)}.")
    belief, chance, steps = 0, 1.0, []
    for turn, observation in enumerate((*observations, "")):
        ways = {step.observation: (step, child) for step, child in _steps(pomdp, plan, turn, belief)}
        if observation not in ways:
            raise ValueError(f"Turn {turn} does not show {observation!r} but one of: {', '.join(ways)}.")
        step, belief = ways[observation]
        steps.append(step)
        chance *= step.chance
    return Trace(tuple(steps), chance)


def _unroll(pomdp: Pomdp, plan: ReachablePlan, turn: int, belief: int) -> Iterator[tuple[Step, ...]]:
    """Every way to go on from one of a turn's beliefs."""
    for step, child in _steps(pomdp, plan, turn, belief):
        if turn == len(plan.links):
            yield (step,)
        else:
            for rest in _unroll(pomdp, plan, turn + 1, child):
                yield (step, *rest)


def _steps(pomdp: Pomdp, plan: ReachablePlan, turn: int, belief: int) -> list[tuple[Step, int]]:
    """What can be seen after what is done at one of a turn's beliefs, and the belief that this leads to."""
    q = plan.q[turn][belief]
    support = plan.beliefs[turn][[belief]].indices
    best = [int(action) for action in np.flatnonzero(q >= q.max() - TIE)]
    best = [action for action in best if action == 0 or not _passes(pomdp, action, support)] or [0]
    action = best[1] if best[0] == 0 and len(best) > 1 else best[0]
    names = pomdp.action_names
    as_good = tuple(names[other] for other in best if other != action)
    values = (turn, names[action], as_good, float(q.max()))
    if turn == len(plan.links):
        return [(Step(*values, "", 1.0), -1)]
    ways = plan.links[turn]
    return [
        (Step(*values, pomdp.observation_names[sight], float(ways.chances[way])), int(ways.children[way]))
        for way in np.flatnonzero((ways.parents == belief) & (ways.actions == action))
        for sight in [ways.observations[way]]
    ]


def _passes(pomdp: Pomdp, action: int, support: Int[np.ndarray, " _"]) -> bool:
    """Whether an action is the same as action 0 in these states, as one is that is not legal."""
    if (pomdp.rewards[support, action] != pomdp.rewards[support, 0]).any():
        return False
    joint = [pomdp.transitions[index][support] @ pomdp.observations[index] for index in (0, action)]
    moves = [pomdp.transitions[index][support] for index in (0, action)]
    return all(abs(first - second).max() == 0.0 for first, second in (joint, moves))
