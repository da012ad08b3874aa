"""How good are several assistants at the same episodes? The rows of `tacit evaluate`."""

from collections.abc import Callable
from typing import Any

from tacit.app.cast import NOBODY, cast
from tacit.evaluation.compare import Contender, Contest, Figure, figures, run

COLUMNS = {
    "goal_completed": "completed %",
    "human_actions": "human actions",
    "assistant_share": "assistant's share",
    "turns": "turns",
    "belief_nll": "belief NLL",
    "calibration_error": "calibration error",
}
"""The figures that are printed, and what they are called."""


def rows(
    game: str,
    human: str,
    assistants: list[str],
    num_episodes: int,
    seed: int,
    report: Callable[[str, int, int], None] = lambda assistant, finished, turns: None,
) -> list[dict[str, Any]]:
    """One row for each assistant, with the keys of `tacit evaluate --json`; every figure has its 95 % interval.

    `report(assistant, finished, turns)` is called after every few turns.
    """
    casts = {name: cast(game, human, name) for name in assistants}
    found = []
    for name, players in casts.items():
        contest = Contest(players.game, players.practice, players.human, num_episodes, seed)
        contender = Contender(name, players.assistant, absent=name == NOBODY)
        tally = run(contest, contender, lambda finished, turns, name=name: report(name, finished, turns))
        values = {key: as_json(figure) for key, figure in figures(contest, tally).items()}
        found.append(
            {"assistant": name, "human": human, "game": game, "episodes": num_episodes, "seed": seed, **values}
        )
    return found


def as_json(figure: Figure | None) -> dict[str, float] | None:
    """A figure as {mean, low, high}."""
    return None if figure is None else figure._asdict()


def cell(figure: dict[str, float] | None) -> str:
    """A figure as "mean [low, high]"."""
    return "" if figure is None else f"{figure['mean']:.3g} [{figure['low']:.3g}, {figure['high']:.3g}]"
