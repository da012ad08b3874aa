"""What does every study of help check? Fewer edits by the person, as much built, a belief worth having."""

from typing import NamedTuple

from tacit.evaluation.compare import Contender, Contest, Tally, interval, run, saving, sure
from tacit.evaluation.metrics import BUILDING_FIGURES
from tacit.members import find
from tacit.studies.claims import Claim, at_least

FIGURE = BUILDING_FIGURES


class Bars(NamedTuple):
    """The least that an assistant is to reach, and where that comes from."""

    saved: float
    """Share of the person's edits that it saves."""
    share: float
    """Its own share of the house."""
    nats: float
    """By how much its belief beats the marginal prior, per cell that is still air."""
    source: str


def played(contest: Contest, names: tuple[str, ...]) -> dict[str, Tally]:
    """The same episodes with each of these assistants, which practise where the contest says."""
    tallies = {}
    for name in names:
        assistant = find("tacit.assistants", name).load().make(contest.practice, contest.human)
        tallies[name] = run(contest, Contender(name, assistant, absent=name == "none"))
    return tallies


def value(name: str, tally: Tally) -> float:
    """One of the building game's figures."""
    return float(FIGURE[name](tally))


def helps(alone: Tally, helped: Tally, bars: Bars) -> list[Claim]:
    """The claims about one assistant; intervals of 95 % are to lie above half of a bar."""
    saved, share = sure(interval(saving, helped, alone)), sure(interval(FIGURE["assistant_share"], helped))
    completed = value("goal_completed", helped) - value("goal_completed", alone)
    air = value("prior_nll_air", helped) - value("belief_nll_air", helped)
    occupied = value("prior_nll_occupied", helped) - value("belief_nll_occupied", helped)
    return [
        at_least("human_actions_saved", saved.mean, bars.saved, bars.source),
        at_least("human_actions_saved_low", saved.low, bars.saved / 2, bars.source),
        at_least("assistant_share", share.mean, bars.share, bars.source),
        at_least("assistant_share_low", share.low, bars.share / 2, bars.source),
        at_least("goal_completed_minus_alone", completed, 0.0, bars.source),
        at_least("nats_gained_per_air_cell", air, bars.nats, bars.source),
        at_least("nats_gained_per_occupied_cell", occupied, 0.0, bars.source),
    ]


def behind_oracle(tallies: dict[str, Tally], name: str) -> Claim:
    """That the assistant who is told the house has the greater share of it; `measured` is how much greater."""
    ahead = value("assistant_share", tallies["oracle"]) - value("assistant_share", tallies[name])
    return at_least(f"oracle_share_minus_{name}", ahead, 0.0, "knowing the goal cannot hurt")
