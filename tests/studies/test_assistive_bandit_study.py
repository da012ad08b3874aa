"""The study of the assistive bandit: do its claims hold, and would a wrong player or plan be noticed?"""

import jax.numpy as jnp
import pytest
from jaxtyping import Array, Key

from tacit.assistants import assume_expert, obey, win_stay_decoder
from tacit.core import Theta
from tacit.evaluation.bandit_episodes import Mean
from tacit.games import bandit
from tacit.games.bandit import Bandit, State
from tacit.humans import win_stay_lose_shift
from tacit.humans.win_stay_lose_shift import Last, WinStayLoseShift
from tacit.studies import assistive_bandit as study
from tacit.studies.claims import Claim

CONFIG = study.Config(num_episodes=4_000, num_filtered=100, num_particles=64)
Rewards = dict[str, Mean]


class Fickle(WinStayLoseShift):
    """Forgets what the last pull paid when it comes to choosing."""

    def logits(self, theta: Theta, memory: Last, observation: State, key: Key[Array, ""]) -> tuple[Array, Last]:
        return jnp.zeros(self.num_arms + 1), memory


def failed(claims: list[Claim]) -> set[str]:
    return {claim.name for claim in claims if not claim.passed}


@pytest.fixture(scope="module")
def played() -> tuple[Bandit, Rewards, Rewards]:
    game = bandit.make()
    alone = study._rewards(game, tuple(study.people(game)), obey.make, CONFIG)
    return game, alone, study._rewards(game, (*study.ASSUMED_EXPERT, "ucb"), assume_expert.make, CONFIG)


def test_table_holds_and_another_does_not(played: tuple[Bandit, Rewards, Rewards]) -> None:
    game, alone, misled = played
    assert not failed(study._table(game, alone, misled))
    swapped = failed(study._table(game, {**alone, **misled}, {**misled, **alone}))
    assert swapped >= {"alone@greedy", "assumed_expert@epsilon-greedy", "expert_is_helped", "closed_form@expert"}


def test_decoded_team_and_one_that_misreads(played: tuple[Bandit, Rewards, Rewards]) -> None:
    game, alone, _ = played
    assert not failed(study._decoded(game, alone, CONFIG))
    assistant = win_stay_decoder.make(game, win_stay_lose_shift.make(game))
    _, accuracy = study.decode(game, Fickle(game.num_arms), assistant, 200, 0)
    assert accuracy < 0.9


def test_exact_values_and_the_filter(played: tuple[Bandit, Rewards, Rewards]) -> None:
    game, alone, _ = played
    assert not failed([*study._two_arms(), *study._filtered(game, alone, CONFIG), *study._enumerated(CONFIG)])
