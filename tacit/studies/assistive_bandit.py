"""Can one help someone who does not know yet what they like? The assistive bandit: its table, its trap, exact values.

Four arms, fifty rounds. What learners earn alone, what an assistant earns with them who takes them for experts (less: a
guess is not a wish), who reads rewards off their requests (as much as anyone could), and who infers the life behind the
requests. On two arms the same by exact dynamic programming. Chan et al. 2019, "The Assistive Multi-Armed Bandit", arXiv
1901.08654.
"""

import dataclasses
import math
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from tacit.assistants import assume_expert, learner_filter, obey, win_stay_decoder
from tacit.assistants.win_stay_decoder import WinStayDecoder
from tacit.core import Assistant, Game, Human
from tacit.evaluation import bandit_pairs
from tacit.evaluation.bandit_episodes import Company, Mean, in_batches, mean_reward, reward
from tacit.games import bandit
from tacit.games.bandit import Bandit
from tacit.humans import epsilon_greedy, epsilon_optimal, finite_horizon_index, thompson, ucb, win_stay_lose_shift
from tacit.humans.win_stay_lose_shift import WinStayLoseShift
from tacit.planning.bandit_index import bayes_optimal, optimal_ranking
from tacit.play import Moment, Turn, advance, begin
from tacit.studies.claims import Claim, at_least, near

SOURCE = "Chan et al. 2019, set-up; 200,000 runs of an independent simulation, s.e. 0.02"
CLOSED = "closed form: the expected mean, and highest mean, of K even draws are 1/2 and K / (K + 1)"
EXACT = "exact dynamic programming over counts"
MODEL = "Chan et al. 2019, abstract: it matters to model that the human learns"
TELL = "Chan et al. 2019, abstract: a human helps by communicating rewards"
BETTER = "Chan et al. 2019, abstract: who does better alone need not do better assisted"
INFER = "Bayes' rule over what was felt; beside what the same people earn alone in this run"
GOLDEN_ERROR = 0.02

ALONE = {
    "random": 25.02,
    "greedy": 31.36,
    "win-stay-lose-shift": 32.85,
    "epsilon-greedy": 33.19,
    "index": 37.03,
    "expert": 38.53,
    "oracle": 40.04,
}
ASSUMED_EXPERT = {
    "greedy": 28.99,
    "epsilon-greedy": 29.12,
    "win-stay-lose-shift": 32.78,
    "thompson": 34.76,
    "index": 35.93,
    "expert": 39.96,
}
LEARNERS = ("greedy", "epsilon-greedy", "win-stay-lose-shift", "thompson", "ucb", "index")
TWO_ARMS = {5: 2.888889, 10: 6.0217857}


@dataclasses.dataclass(frozen=True)
class Config:
    """How much is played; who is helped by the filter over lives, and with how many of them."""

    num_episodes: int = 6_000
    num_filtered: int = 300
    num_particles: int = 128
    filtered: tuple[str, ...] = ("greedy", "win-stay-lose-shift")
    seed: int = 0


TIERS = {
    "tiny": Config(),
    "small": Config(200_000, 4_000, 256, LEARNERS),
    "full": Config(1_000_000, 20_000, 512, LEARNERS),
}


def make(tier: str, data: Path | None, config: Config | None = None) -> list[Claim]:
    """The table within three standard errors, the trap, decoding, exact values on two arms, and the filter."""
    del data
    config = config or TIERS[tier]
    game = bandit.make()
    alone = _rewards(game, tuple(people(game)), obey.make, config)
    misled = _rewards(game, (*ASSUMED_EXPERT, "ucb"), assume_expert.make, config)
    return [
        *_table(game, alone, misled),
        *_decoded(game, alone, config),
        *_two_arms(),
        *_filtered(game, alone, config),
        *_enumerated(config),
    ]


def people(game: Bandit) -> dict[str, Human]:
    """Everyone in the table."""
    return {
        "random": epsilon_greedy.make(game, 1.0),
        "greedy": epsilon_greedy.make(game, 0.0),
        "epsilon-greedy": epsilon_greedy.make(game),
        "win-stay-lose-shift": win_stay_lose_shift.make(game),
        "thompson": thompson.make(game),
        "ucb": ucb.make(game),
        "index": finite_horizon_index.make(game),
        "expert": epsilon_optimal.make(game),
        "oracle": epsilon_optimal.make(game, 0.0),
    }


def _companies(game: Bandit, names: Sequence[str]) -> Iterator[tuple[str, Company]]:
    """Each of these people, in the shape that they share."""
    everyone = people(game)
    members = tuple(everyone[name] for name in names)
    for place, name in enumerate(names):
        yield name, Company(members, jnp.int32(place))


def _rewards(
    game: Bandit, names: Sequence[str], hire: Callable[[Game, Human], Assistant], config: Config
) -> dict[str, Mean]:
    """What these people earn beside one kind of assistant."""
    return {
        name: reward(game, human, hire(game, human), config.num_episodes, config.seed)
        for name, human in _companies(game, names)
    }


def _more(name: str, larger: Mean, smaller: Mean, source: str) -> Claim:
    """Claim that one mean is higher than another, by more than three standard errors."""
    return at_least(name, larger.value - smaller.value, 3 * math.hypot(larger.error, smaller.error), source)


def _table(game: Bandit, alone: dict[str, Mean], misled: dict[str, Mean]) -> list[Claim]:
    """What each earns alone, and with an assistant that takes them for an expert."""
    found = []
    for title, table, means in (("alone", ALONE, alone), ("assumed_expert", ASSUMED_EXPERT, misled)):
        for name, expected in table.items():
            allowed = 3 * math.hypot(means[name].error, GOLDEN_ERROR)
            found.append(near(f"{title}@{name}", means[name].value, expected, allowed, SOURCE))
    rounds, best = game.num_rounds, game.num_arms / (game.num_arms + 1)
    closed = {"random": rounds / 2, "expert": rounds * (0.9 * best + 0.05), "oracle": rounds * best}
    for name, expected in closed.items():
        found.append(near(f"closed_form@{name}", alone[name].value, expected, 3 * alone[name].error + 1e-4, CLOSED))
    for name in ("greedy", "epsilon-greedy", "ucb", "index"):
        found.append(_more(f"taken_for_expert_is_harmed@{name}", alone[name], misled[name], MODEL))
    return [*found, _more("expert_is_helped", misled["expert"], alone["expert"], MODEL)]


def _decoded(game: Bandit, alone: dict[str, Mean], config: Config) -> list[Claim]:
    """Rewards read off requests: every one right, and the poor learner's team as good as the best learner alone."""
    human = win_stay_lose_shift.make(game)
    team, accuracy = decode(game, human, win_stay_decoder.make(game, human), config.num_episodes, config.seed)
    best = alone["index"]
    return [
        near("decoded@win-stay-lose-shift", team.value, 37.03, 3 * math.hypot(team.error, GOLDEN_ERROR), SOURCE),
        near("decoded_less_index_alone", team.value - best.value, 0.0, 3 * math.hypot(team.error, best.error), TELL),
        _more("decoded_beats_thompson_alone", team, alone["thompson"], TELL),
        _more("decoded_beats_epsilon_greedy_alone", team, alone["epsilon-greedy"], TELL),
        near("decoding_accuracy", accuracy, 1.0, 0.0, TELL),
    ]


def decode(
    game: Bandit, human: WinStayLoseShift, assistant: WinStayDecoder, num_episodes: int, seed: int
) -> tuple[Mean, float]:
    """The mean reward of a decoder's team, and how often its reading of a pull is what the human felt."""

    def one(key: Key[Array, ""]) -> tuple[Float[Array, ""], Float[Array, " K"], Float[Array, ""]]:
        theta_key, play_key = jax.random.split(key)
        theta = game.sample_theta(theta_key)

        def record(before: Moment, after: Moment, turn: Turn) -> tuple[Array, Array, Array]:
            return turn.rewards.sum(), after.human.felt, after.assistant.tried.sums.sum()

        start = begin(game, human, assistant, theta, play_key)
        _, (rewards, felt, read) = advance(game, human, assistant, theta, start, game.horizon, record, play_key)
        # In the turns of pulling: what each felt like but for the last, and what was read one round later.
        return rewards.sum(), theta, jnp.mean(jnp.diff(read[1::2]) == felt[1:-1:2])

    totals, means, accuracies = in_batches(jax.jit(jax.vmap(one)), num_episodes, seed)
    return mean_reward(totals, means), float(accuracies.mean())


def _two_arms() -> list[Claim]:
    """Exact values: the decoder's team is optimal, and who learns best alone is not who is helped best."""
    found = []
    for rounds, golden in TWO_ARMS.items():
        game, plan = bandit.make(2, rounds), bayes_optimal(2, rounds)
        human = win_stay_lose_shift.make(game)
        team = win_stay_decoder.make(game, human, optimal_ranking(2, rounds))
        earned = bandit_pairs.expected_reward(game, human, team)
        found += [
            near(f"bayes_optimal@rounds{rounds}", plan.value, golden, 5e-7, EXACT),
            near(f"decoded_less_bayes_optimal@rounds{rounds}", earned - plan.value, 0.0, 1e-12, EXACT),
        ]
    game = bandit.make(2, 5)
    everyone, optimum = people(game), bayes_optimal(2, 5).value
    names = ("random", "greedy", "ucb", "win-stay-lose-shift")
    helped = {name: bandit_pairs.best_assistance(game, everyone[name]) for name in names}
    alone = {
        name: bandit_pairs.expected_reward(game, everyone[name], obey.make(game, everyone[name])) for name in names
    }
    return [
        *found,
        near("best_help@win-stay-lose-shift", helped["win-stay-lose-shift"], optimum, 1e-12, EXACT),
        near("best_help@random", helped["random"], 2.5, 1e-12, "requests that tell nothing leave the prior mean, 1/2"),
        at_least("greedy_alone_beats_ucb_alone", alone["greedy"] - alone["ucb"], 0.01, BETTER),
        at_least("ucb_helped_beats_greedy_helped", helped["ucb"] - helped["greedy"], 0.001, BETTER),
    ]


def _filtered(game: Bandit, alone: dict[str, Mean], config: Config) -> list[Claim]:
    """The filter over lives helps whoever learns, and makes the best team with those who tell all they feel."""
    found, index = [], alone["index"]
    for name, helped in filtered_rewards(game, config).items():
        if name != "index":  # who already asks for the best arm to try cannot be helped
            found.append(_more(f"filtered_is_helped@{name}", helped, alone[name], INFER))
        if name in ("index", "win-stay-lose-shift"):
            allowed = 3 * math.hypot(index.error, helped.error)
            found.append(near(f"filtered_less_index@{name}", helped.value - index.value, 0.0, allowed, INFER))
    return found


def filtered_rewards(game: Bandit, config: Config) -> dict[str, Mean]:
    """What learners earn with an assistant that infers what they felt."""
    fewer = dataclasses.replace(config, num_episodes=config.num_filtered)
    return _rewards(
        game, config.filtered, lambda game, human: learner_filter.make(game, human, config.num_particles), fewer
    )


def _enumerated(config: Config) -> list[Claim]:
    """The filter's belief about the arms after eight rounds, against every way in which the pulls may have felt."""
    game = bandit.make(3, 8)
    human = epsilon_greedy.make(game)
    requests, pulls = np.random.default_rng(config.seed).integers(
        game.num_arms, size=(2, game.num_rounds), dtype=np.int32
    )
    exact = bandit_pairs.felt_by(game, human, requests.tolist(), pulls[:-1].tolist())
    assistant = learner_filter.make(game, human, num_particles=20_000)
    found = assistant.thoughts(
        assistant.watch(jnp.asarray(requests), jnp.asarray(pulls), jax.random.key(config.seed))
    ).means
    source = "every way in which the pulls may have felt"
    return [near("filter_less_enumeration", float(np.abs(np.asarray(found) - exact).max()), 0.0, 0.02, source)]


def draw(figure: Any) -> None:
    """What each learner earns alone, taken for an expert, and with an assistant that infers what they felt."""
    game, config = bandit.make(), Config(num_episodes=4_000, num_filtered=300, filtered=LEARNERS)
    alone = _rewards(game, (*LEARNERS, "oracle"), obey.make, config)
    kinds = {
        "alone": alone,
        "taken for an expert": _rewards(game, LEARNERS, assume_expert.make, config),
        "what they felt is inferred": filtered_rewards(game, config),
    }
    axes = figure.subplots()
    places = np.arange(len(LEARNERS))
    for shift, (label, means) in zip((-0.27, 0.0, 0.27), kinds.items(), strict=True):
        values, errors = zip(*(means[name] for name in LEARNERS), strict=True)
        axes.bar(places + shift, values, 0.25, yerr=2 * np.asarray(errors), label=label)
    axes.axhline(alone["oracle"].value, color="black", linewidth=0.8, label="always the best arm")
    axes.set_xticks(places, [textwrap.fill(name, 10) for name in LEARNERS])
    axes.set_xlabel("how the human learns")
    chance = game.num_rounds / 2
    axes.set_ylabel(f"reward in {game.num_rounds} rounds (chance earns {chance:g})")
    axes.set_ylim(chance, 1.75 * chance)
    axes.legend(ncols=2, loc="upper left", fontsize="small")
