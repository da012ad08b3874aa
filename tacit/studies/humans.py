"""Does a clone of some people foresee what somebody else does, and which humans get a house built?

Every participant is left out in turn: networks are trained on the others' recordings and then shown the one left out,
turn by turn, as a stranger whose habits are only told by what they have done so far. Cross-entropy is in nats per
action; an action is foreseen when it is the likeliest (for a placed block: the likeliest cell, and the likeliest kind
there). The yardstick is fitted to the same others: how often they pass, place, break and move, and the same chance for
everything that is legal within each of these.

Recordings: MBAG's episodes of people who knew the house (Laidlaw et al. 2025, arXiv 2504.07091). Turns whose action our
rules do not offer are left out and counted: beside a partner, a recorded action can be about a cell that the partner
has just changed.

Of those who can play the human it is counted how many unseen houses each finishes alone within the horizon. piKL is the
clone that plans, so it has to finish more of them than the clone.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from tacit.assistants import none
from tacit.core import Game, Human
from tacit.evaluation.compare import Contender, Contest
from tacit.evaluation.compare import run as play
from tacit.games import building_small
from tacit.humans import builder, cloned, pikl, planner
from tacit.humans.demonstrations import KIND, SIZES, Told, Turns, demonstrations, recorded, weights
from tacit.humans.past import REST
from tacit.learning.cloning import Choices, Chooser, Cloning, Config, Moments, log_choice, pick, stack
from tacit.learning.training import train
from tacit.studies.claims import Claim, at_least

NEEDS = ("data",)
SOURCE = "the project's own bar: a clone should explain a stranger better than how often people do what"
ALONE = "the project's own bar: somebody who is to be helped should get there without help too"
LEAST_OFFERED = 0.9
"""Least share of the recorded actions that our rules have to offer."""
BLOCK = 512
"""Turns that are foreseen together."""
PEOPLE = {"builder": builder.make, "planner": planner.make, "cloned": cloned.make, "pikl": pikl.make}
"""Those who know the house and can play the human."""
FINISHED = {"builder": 0.95, "planner": 0.95, "pikl": 0.9}
"""Least share of houses that they have to finish alone."""


@dataclasses.dataclass(frozen=True)
class Tier:
    """How many turns of each episode are taken, None for all; how long is trained; how many houses each builds."""

    max_turns: int | None
    training: Config
    num_houses: int
    leeway: float = 0.0
    """How far accuracy may fall short of the yardstick's: to guess a pass each time is hard to beat for one who idles,
    and who they are takes more than some hundred turns to learn."""


TIERS = {"tiny": Tier(300, Config(num_rounds=15), 0, leeway=0.05), "small": Tier(None, Config(), 128)}
TIERS["full"] = TIERS["small"]


class Found(NamedTuple):
    """How well somebody was foreseen, in mean nats per action and in shares, and by the yardstick."""

    nats: float
    accuracy: float
    nats_by_types: float
    accuracy_by_types: float
    actions: int
    dropped: int


class Foreseen(NamedTuple):
    """Turn by turn, the log-probability of what was done, and whether it was the likeliest."""

    log_prob: Float[Array, " R"]
    hit: Float[Array, " R"]


@eqx.filter_jit
def foresee(chooser: Chooser, moments: Moments, lists: tuple[Choices, ...]) -> Foreseen:
    """What the chooser makes of some turns."""
    logits = jax.vmap(chooser.sorts)(moments.features, moments.habit, moments.like)
    sorts = jax.vmap(log_choice)(logits, moments.possible)
    log_prob, likeliest, best = pick(sorts, moments.chosen), sorts[:, REST], moments.chosen == REST
    right_kind = jnp.ones_like(best)
    for number, choices in enumerate(lists):
        scores = jax.vmap(chooser.options, (None, 0))(number, choices.features)
        options = jax.vmap(log_choice)(scores, choices.possible)
        taken, first = choices.chosen >= 0, options.argmax(-1) == choices.chosen
        log_prob += jnp.where(taken, pick(options, jnp.maximum(choices.chosen, 0)), 0.0)
        if number == KIND:
            right_kind = ~taken | first
            continue
        now = sorts[:, number + 1] + options.max(-1)
        best = jnp.where(now > likeliest, (moments.chosen == number + 1) & first, best)
        likeliest = jnp.maximum(likeliest, now)
    return Foreseen(log_prob, (best & right_kind).astype(jnp.float32))


def by_clone(chooser: Chooser, turns: Turns, lengths: Sequence[int]) -> Foreseen:
    """What the chooser makes of an episode, block by block, with lists filled up to `lengths`, to compile once."""
    lists = tuple(stack([one], length) for one, length in zip(turns.lists, lengths, strict=True))
    count, parts = len(turns.what), []
    for start in range(0, count, BLOCK):
        rows = np.minimum(np.arange(start, start + BLOCK), count - 1)
        some = jax.tree.map(lambda leaf, rows=rows: leaf[rows], (turns.moments, lists))
        found = foresee(chooser, *some)
        parts.append(jax.tree.map(lambda leaf, start=start: np.asarray(leaf)[: count - start], found))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def by_types(others: Sequence[Turns], turns: Turns) -> Foreseen:
    """What somebody makes of an episode who knows how often the others do what, and what is legal."""
    what = np.concatenate([one.what for one in others])
    shares = (np.bincount(what, minlength=4) + 1.0) / (len(what) + 4.0)
    each = np.where(turns.widths > 0, shares / np.maximum(turns.widths, 1), 0.0)
    rows = np.arange(len(turns.what))
    guess = each.argmax(-1)
    hit = np.where(guess == turns.what, 1.0 / turns.widths[rows, guess], 0.0)  # one of equally likely actions
    return Foreseen(jnp.log(each[rows, turns.what]), jnp.asarray(hit))


def left_out(episodes: Sequence[Told], participant: int, tier: Tier, seed: int = 0) -> dict[bool, Found]:
    """How well a participant is foreseen by a clone of all others: without (False) and with a partner (True)."""
    others = sorted({one.participant for one in episodes} - {participant})
    training, held_out = weights(episodes, others)
    every = demonstrations([one.turns for one in episodes])
    trainer = Cloning(tier.training, SIZES, every, training, held_out)
    _, state = train(trainer, trainer.init(jax.random.key(seed)), 0, lambda *_: None, lambda *_: None)
    chooser, _ = trainer.release(state)
    assert isinstance(chooser, Chooser)
    lengths = [
        max(one.features.shape[1] for one in every) for every in zip(*(o.turns.lists for o in episodes), strict=True)
    ]
    found = {}
    for with_partner in (False, True):
        mine = [one.turns for one in episodes if (one.participant, one.with_partner) == (participant, with_partner)]
        if mine:
            rest = [one.turns for one in episodes if one.participant != participant]
            found[with_partner] = summed(
                mine, [by_clone(chooser, one, lengths) for one in mine], [by_types(rest, o) for o in mine]
            )
    return found


def summed(episodes: Sequence[Turns], clone: Sequence[Foreseen], types: Sequence[Foreseen]) -> Found:
    """The means over several episodes."""
    means = [
        float(np.concatenate([np.asarray(one[field], np.float64) for one in rows]).mean())
        for rows in (clone, types)
        for field in range(2)
    ]
    actions, dropped = sum(len(one.what) for one in episodes), sum(one.dropped for one in episodes)
    return Found(-means[0], means[1], -means[2], means[3], actions, dropped)


def run(tier: str, data: Path) -> dict[tuple[int, bool], Found]:
    """Leave out everybody in turn. Raises ValueError, in one sentence, where there is nobody to learn from."""
    episodes = recorded(data, TIERS[tier].max_turns)
    people = sorted({one.participant for one in episodes})
    if len(people) < 2:
        raise ValueError(
            f"{data} holds recordings of participant {people[0]} alone, so that nobody is left to learn from when they "
            "are left out; give recordings of two or more."
        )
    return {
        (person, with_partner): found
        for person in people
        for with_partner, found in left_out(episodes, person, TIERS[tier]).items()
    }


def share_finished(game: Game, human: Human, num_houses: int, seed: int = 0) -> float:
    """How many of some houses somebody finishes alone before the horizon, as a share."""
    nobody = Contender("none", none.make(game, human), absent=True)
    tally = play(Contest(game, game, human, num_houses, seed), nobody)
    return float((tally.reward == tally.edits_needed).mean())


def houses_built(num_houses: int) -> list[Claim]:
    """The claims about who finishes unseen houses alone."""
    game = building_small.make("test")
    shares = {name: share_finished(game, human(game), num_houses) for name, human in PEOPLE.items()}
    claims = [at_least(f"finished_alone@{name}", shares[name], bar, ALONE) for name, bar in FINISHED.items()]
    better = shares["pikl"] > shares["cloned"]
    return [*claims, Claim("finished_by_pikl_not_cloned", shares["pikl"], shares["cloned"], 0.0, better, ALONE)]


def make(tier: str, data: Path | None) -> list[Claim]:
    """Leave out everybody in turn and compare the clone of the others with the yardstick; let all build alone."""
    assert data is not None
    leeway = TIERS[tier].leeway
    claims = houses_built(TIERS[tier].num_houses) if TIERS[tier].num_houses else []
    for (person, with_partner), found in run(tier, data).items():
        who = f"person{person}_{'with_partner' if with_partner else 'alone'}"
        nats, types = found.nats, found.nats_by_types
        claims.append(Claim(f"nats_per_action@{who}", nats, types, 0.0, nats < types, SOURCE))
        enough = found.accuracy >= found.accuracy_by_types - leeway
        claims.append(Claim(f"accuracy@{who}", found.accuracy, found.accuracy_by_types, leeway, enough, SOURCE))
        offered = found.actions / (found.actions + found.dropped)
        claims.append(at_least(f"share_offered@{who}", offered, LEAST_OFFERED, "our rules against theirs"))
    return claims
