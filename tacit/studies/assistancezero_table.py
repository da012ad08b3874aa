"""What does AssistanceZero's table say of its rows, and of which of them can nothing be said yet?

Intervals are over houses and people, the seeds of a row being averaged for each; the seeds are also told one by one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from tacit.evaluation.compare import Figure, Tally, interval, saving, sure
from tacit.evaluation.metrics import BUILDING_FIGURES
from tacit.studies.claims import Claim, above, at_least, at_most

TABLE_1 = "Laidlaw et al. 2025, tables 1 and 3: 21 to 27 % fewer actions at a share of 26 to 27 %; the bar is higher"
REWARD = "on the same houses with the same people, in the first 100 turns; the 95 % interval lies above 0"
PLANNING = "where there is nothing to find out, looking ahead is worth less than a block in 100 turns: 95 % interval"
WITHIN_REACH = "who is told the house reaches the bar that is set for who is not"
KNOWING = "knowing the goal cannot hurt"
SPARED = "on the same houses the person places and breaks fewer blocks; the 95 % interval lies above 0"
RIVALS = ("greedy", "ppo", "oracle")
"""Whom every row is held against."""
COMPARED = ("early_reward", "human_actions")
"""In which figures."""
SHOWN = ("goal_completed", "finished", "human_actions", "assistant_share", "turns", "early_reward")


class Counts(NamedTuple):
    """What happened in each episode, of a `BuildingTally` what can be averaged; the last axis may be seeds."""

    turns: Float[np.ndarray, "*B"]
    reward: Float[np.ndarray, "*B"]
    early_reward: Float[np.ndarray, "*B"]
    edits_needed: Float[np.ndarray, "*B"]
    human_edits: Float[np.ndarray, "*B"]
    assistant_gain: Float[np.ndarray, "*B"]


class Played(NamedTuple):
    """What came of a part: counts by person, or why it is missing."""

    row: str
    seed: int
    missing: str | None
    people: dict[str, dict[str, list[float]]]
    seconds: float
    """Seconds of training."""
    commit: str | None
    device: str


def counts(found: Sequence[Played], row: str, person: str) -> Counts | None:
    """A row's episodes with a person, a column for each seed; None where the row is missing."""
    there = sorted((one for one in found if one.row == row and one.missing is None), key=lambda one: one.seed)
    some = [one.people[person] for one in there]
    return Counts(*(np.stack([one[name] for one in some], -1) for name in Counts._fields)) if some else None


def seeds_of(found: Sequence[Played], row: str) -> set[int]:
    """With which seeds a row was played."""
    return {one.seed for one in found if one.row == row and one.missing is None}


def more(name: str) -> Callable[[Tally, Tally], float]:
    """By how much more of a figure the first has."""
    return lambda mine, theirs: BUILDING_FIGURES[name](mine) - BUILDING_FIGURES[name](theirs)


def table(
    seeds: Mapping[str, Sequence[int]],
    yardsticks: Mapping[str, str | None],
    people: Sequence[str],
    found: Sequence[Played],
) -> dict[str, Any]:
    """What there is of the table, by row, and why the rest is missing; `seeds` says what belongs in it, `yardsticks`
    what each row is held against beside the rivals of all.
    """
    rows = []
    for name, wanted in seeds.items():
        done = {one.seed: one for one in found if one.row == name}
        there = sorted(seeds_of(found, name) & set(wanted))
        row = {"row": name, "seeds": there, "training_seconds": [done[seed].seconds for seed in there]}
        row |= {"missing": lacking(found, name, wanted), "yardstick": yardsticks[name]}
        rows.append(row | {"people": {person: figures(found, name, yardsticks[name], person) for person in people}})
    _, skipped = judged(seeds, people, found)
    return {"rows": rows, "skipped_claims": skipped}


def lacking(found: Sequence[Played], row: str, wanted: Sequence[int]) -> str | None:
    """Which of these seeds a row lacks, and why; None if it has them all."""
    done = {one.seed: one.missing for one in found if one.row == row}
    reasons = {seed: done.get(seed, "not done yet") for seed in wanted}
    return "; ".join(f"seed {seed}: {reason}" for seed, reason in reasons.items() if reason is not None) or None


def figures(found: Sequence[Played], row: str, yardstick: str | None, person: str) -> dict[str, Any] | None:
    """A row's figures with a person, also as differences from others'; None where the row is missing."""
    mine = counts(found, row, person)
    if mine is None:
        return None
    told: dict[str, Any] = {name: interval(BUILDING_FIGURES[name], mine) for name in SHOWN}
    alone = counts(found, "none", person)
    told["human_actions_saved"] = None if alone is None else interval(saving, mine, alone)
    sides: dict[str, tuple[Counts | None, Counts | None]]
    sides = {rival: (mine, counts(found, rival, person)) for rival in RIVALS}
    if yardstick is not None:
        both = seeds_of(found, row) & seeds_of(found, yardstick)
        same = [one for one in found if one.seed in both]
        sides["yardstick"] = counts(same, row, person), counts(same, yardstick, person)
    for other, (ours, theirs) in sides.items():
        for name in COMPARED:
            told[f"{name}_minus_{other}"] = None if theirs is None else interval(more(name), ours, theirs)
    told = {name: None if figure is None else figure._asdict() for name, figure in told.items()}
    by_seed = {
        name: [BUILDING_FIGURES[name](one_seed(mine, at)) for at in range(mine.turns.shape[1])] for name in SHOWN
    }
    return told | {"by_seed": jax.tree.map(float, by_seed)}


def one_seed(counts: Counts, seed: int) -> Counts:
    """The episodes of one seed."""
    return jax.tree.map(lambda leaf: leaf[:, seed], counts)


class Question(NamedTuple):
    """A claim: its name, the rows that it needs, what to measure of them, and the bound."""

    name: str
    rows: tuple[str, ...]
    measure: Callable[..., float]
    bound: float
    source: str
    claim: Callable[[str, float, float, str], Claim] = at_least


def lead(name: str, mine: Counts, theirs: Counts) -> Figure:
    """By how much more of a figure the first has, with its interval."""
    return sure(interval(more(name), mine, theirs))


def ahead(one: str, other: str, figure: str = "early_reward", source: str = REWARD) -> Question:
    """Whether the one has more of a figure than the other, for certain."""
    name = f"{figure}_of_{one}_minus_{other}_low"
    return Question(name, (one, other), lambda *rows: lead(figure, *rows).low, 0.0, source, above)


def hardly_ahead(one: str, other: str) -> Question:
    """Whether the one, for certain, earns less than a block more than the other."""
    name = f"early_reward_of_{one}_minus_{other}_high"
    return Question(name, (one, other), lambda *rows: lead("early_reward", *rows).high, 1.0, PLANNING, at_most)


MAIN = ("assistancezero", "none")
QUESTIONS = (
    Question("human_actions_saved", MAIN, saving, 0.3, TABLE_1),
    Question("assistant_share", ("assistancezero",), BUILDING_FIGURES["assistant_share"], 0.3, TABLE_1),
    Question("goal_completed_minus_alone", MAIN, more("goal_completed"), 0.0, TABLE_1),
    ahead("assistancezero", "greedy"),
    ahead("assistancezero", "ppo"),
    ahead("assistancezero-short", "ppo"),
    ahead("assistancezero", "greedy-on-its-belief"),
    ahead("greedy", "assistancezero", "human_actions", SPARED),
    ahead("ppo", "assistancezero", "human_actions", SPARED),
    ahead("greedy-on-its-belief", "assistancezero", "human_actions", SPARED),
    hardly_ahead("oracle-deep-search", "oracle"),
    Question("oracle_share", ("oracle",), BUILDING_FIGURES["assistant_share"], 0.3, WITHIN_REACH),
    Question("oracle_share_minus_learned", ("oracle", MAIN[0]), more("assistant_share"), 0.0, KNOWING),
)


def judged(
    seeds: Mapping[str, Sequence[int]], people: Sequence[str], found: Sequence[Played]
) -> tuple[list[Claim], dict[str, str]]:
    """The claims whose rows are there with all of their seeds, with each kind of person, and why the others are not."""
    claims, skipped = [], {}
    for person in people:
        for question in QUESTIONS:
            name = f"{question.name}@{person}"
            gaps = {row: lacking(found, row, seeds[row]) if row in seeds else "not asked for" for row in question.rows}
            told = [f"{row} ({gap})" for row, gap in gaps.items() if gap is not None]
            if told:
                skipped[name] = f"the table lacks {' and '.join(told)}"
                continue
            sides = [counts(found, row, person) for row in question.rows]
            claims.append(question.claim(name, question.measure(*sides), question.bound, question.source))
    return claims, skipped
