"""Can one learn what an expert wants from final answers alone? RARO's game: its algebra, exact, and the game as played.

Cai and Provilkov 2025, "Escaping the Verifier: Learning to Reason via Demonstrations", arXiv 2511.21667. The algebra:
what every label earns, when a tie is best, where the game rests and how close to the expert that is. And as played, in
Countdown with three numbers, by a policy that can reckon but does not know what is wanted, and a critic of features.
One of these is an ingredient of the checker, so it is shown that the game works, not that no checker is needed.
"""

import dataclasses
import importlib.util
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from tacit.language import countdown, exact
from tacit.language.advantages import advantages
from tacit.language.demonstrations import Demonstration
from tacit.language.feature_critic import FeatureCritic, untaught
from tacit.language.feature_policy import FeaturePolicy
from tacit.language.game import FIRST, SECOND, TIE, UNREADABLE, Contest, Pair, Rules, best_reply, outcomes
from tacit.language.replay import Pool, mix
from tacit.language.rounds import Config as GameConfig
from tacit.language.rounds import Lesson, Memory, play_round
from tacit.language.watch import Guards, Trials, advise
from tacit.studies import raro_picture
from tacit.studies.claims import Claim, LackingError, Place, Tell, at_least, near

RULE = "Cai and Provilkov 2025, the relativistic critic's reward"
BAYES = "Bayes' rule: the best reply to what can be known"
REST = "no label earns the policy more than a tie when a wrong one has a chance of 1 - τ_critic < τ_policy at most"
ALIKE = "e/π may differ by τ_critic / (1 - τ_critic) before a critic would rather decide"
SINGLE = "Cai and Provilkov 2025: a critic of single answers is forced to guess at the optimum"
STABLE = "Cai and Provilkov 2025, how training is kept stable"
PLAYED = "the game as played, critic of features (one is an ingredient of the checker); 95 % interval over seeds"


@dataclasses.dataclass(frozen=True)
class Config:
    """How much is drawn for the algebra, and how long and how often Countdown is played."""

    num_random: int = 200
    num_seeds: int = 5
    num_puzzles: int = 32
    num_candidates: int = 24
    num_rounds: int = 50
    policy_rate: float = 60.0
    critic_rate: float = 20.0
    game: GameConfig = dataclasses.field(
        default_factory=lambda: GameConfig(num_answers=8, num_verdicts=8, policy_share=0.5, critic_share=0.5)
    )
    seed: int = 0


def make(tier: str, data: Path | None, config: Config | None = None) -> list[Claim]:
    """The algebra, where the game rests, what keeps it stable, and Countdown played with features."""
    del tier, data
    config = config or Config()
    return [*rewards(config), *at_rest(config), *stability(config), *played(config)]


def make_at(tier: str, place: Place, tell: Tell) -> list[Claim]:
    """Language models at the same game, which takes long: see `raro_table`."""
    missing = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]
    if missing:
        raise LackingError(f"beyond tiny it needs {' and '.join(missing)}: pip install 'tacit[language]'")
    from tacit.studies import raro_table  # noqa: PLC0415 - the tiny tier needs no torch

    return raro_table.make_at(tier, place, tell)


def draw_table(figure: Any, out: Path) -> None:
    """The rows that are kept in a folder: see `raro_picture`."""
    raro_picture.draw_table(figure, out)


def rewards(config: Config) -> list[Claim]:
    """What labels earn, what critics earn who always say the same, and when a tie is best."""
    rules = Rules()
    table = {
        (FIRST, 0): (0.0, 1.0),
        (FIRST, 1): (1.0, 0.0),
        (SECOND, 0): (1.0, 0.0),
        (SECOND, 1): (0.0, 1.0),
        (TIE, 0): (0.6, 0.55),
        (TIE, 1): (0.6, 0.55),
        (UNREADABLE, 0): (0.0, 0.0),
        (UNREADABLE, 1): (0.0, 0.0),
    }
    labels, places = (np.array(column) for column in zip(*table, strict=True))
    earned = outcomes(labels, places, rules)
    gap = np.abs(np.stack([earned.policy, earned.critic], axis=1) - np.array(list(table.values()))).max()
    found = [near("reward_table_largest_gap", gap, 0.0, 1e-12, RULE)]
    for name, label, policy, critic in (
        ("first", FIRST, 0.5, 0.5),
        ("second", SECOND, 0.5, 0.5),
        ("tie", TIE, 0.6, 0.55),
    ):
        earned = outcomes(np.full(2, label), np.array([0, 1]), rules)
        found += [
            near(f"policy_earns@always_{name}", earned.policy.mean(), policy, 1e-12, RULE),
            near(f"critic_earns@always_{name}", earned.critic.mean(), critic, 1e-12, RULE),
        ]
    for tau in (0.55, *np.random.default_rng(config.seed).uniform(0.51, 0.99, 2)):
        turn = bisect(lambda chance, tau=tau: best_reply(np.array(chance), Rules(tau_critic=tau)) == TIE, 0.5, 1.0)
        found.append(near(f"tie_is_best_below@tau{tau:.2f}", turn, tau, 1e-9, BAYES))
    return found


def at_rest(config: Config) -> list[Claim]:
    """Values against the best critic: at the expert, elsewhere, and how far from the expert nothing is lost."""
    rng, rules = np.random.default_rng(config.seed), Rules()
    best, gap, variance, coin = 0.0, 0.0, 0.0, 0.0
    for _ in range(config.num_random):
        num_answers = int(rng.integers(2, 8))
        expert, policy = rng.dirichlet(np.ones(num_answers), 2)
        best = max(best, exact.pairwise(expert, policy, rules).policy)
        there = exact.pairwise(expert, expert, rules)
        gap = max(gap, abs(there.policy - rules.tau_policy), abs(there.critic - rules.tau_critic))
        variance = max(variance, there.policy_variance)
        coin = max(coin, abs(exact.single(expert, expert).policy_variance - 0.25))

    def unpunished(factor: float) -> bool:
        policy = np.array([1.0, factor]) / (1.0 + factor)
        return exact.pairwise(np.array([0.5, 0.5]), policy, rules).tie_rate > 0.999

    close_enough = rules.tau_critic / (1.0 - rules.tau_critic)
    return [
        near("values_at_the_expert_largest_gap", gap, 0.0, 1e-12, REST),
        at_least("tau_less_best_random_policy", rules.tau_policy - best, -1e-12, REST),
        near("close_enough_factor", bisect(unpunished, 1.0, 3.0), close_enough, 1e-9, ALIKE),
        near("policy_reward_variance_at_the_expert@pairs", variance, 0.0, 1e-12, SINGLE),
        near("policy_reward_variance_less_coin_at_the_expert@single", coin, 0.0, 1e-12, SINGLE),
    ]


def stability(config: Config) -> list[Claim]:
    """What the guards and the weights promise: order, masks, replay, groups, and a policy that waits."""
    rng = np.random.default_rng(config.seed)
    critic = FeatureCritic(lambda question, answer: np.array([float(answer)]), rng.normal(size=1), rng.normal())
    pairs = [Pair("q", *(str(number) for number in rng.normal(size=2))) for _ in range(config.num_random)]
    there = critic.log_chances(critic.differences(pairs))
    back = critic.log_chances(critic.differences([Pair(one.question, one.second, one.first) for one in pairs]))
    given, groups = rng.random(config.num_random), rng.integers(20, size=config.num_random)
    kept = rng.random(config.num_random) < 0.7
    weights = advantages(given, groups, kept)
    old, new = ([Contest(f"{age} {number}", "e", "p") for number in range(40)] for age in ("old", "new"))
    replayed = [contest in old for contest in mix(Pool(tuple(old)), new, 40, 0.5, rng)]
    places = rng.integers(2, size=256)
    always_first = advise(Trials(np.zeros_like(places), places), Guards())
    always_right = advise(Trials(places, places), Guards())
    return [
        near("order_swapped_largest_gap", np.abs(there[:, [SECOND, FIRST, TIE]] - back).max(), 0.0, 1e-12, STABLE),
        near("advantage_sum_of_a_group_largest", np.abs(np.bincount(groups, weights)).max(), 0.0, 1e-12, STABLE),
        near("weight_of_masked_samples_largest", np.abs(weights[~kept]).max(), 0.0, 0.0, STABLE),
        near("replayed_share", sum(replayed) / len(replayed), 0.5, 0.0, STABLE),
        near("policy_moves@critic_of_places", float(always_first.policy_moves), 0.0, 0.0, STABLE),
        near("alarm@critic_always_right", float(always_right.alarm is not None), 1.0, 0.0, STABLE),
    ]


class Puzzles(NamedTuple):
    """Demonstrations of Countdown, expressions to choose among for each, and what can be seen of an expression."""

    demonstrations: list[Demonstration]
    candidates: dict[str, list[str]]
    features: dict[tuple[str, str], Float[np.ndarray, " D"]]
    solves: dict[str, Float[np.ndarray, " A"]]


NUM_FEATURES = 5


def draw_puzzles(config: Config, rng: np.random.Generator, without: frozenset[str]) -> Puzzles:
    """Puzzles with one expression that solves each and others that do not; the expert's need not be the one."""
    puzzles = Puzzles(countdown.draw(countdown.THREE, config.num_puzzles, rng, without), {}, {}, {})
    for one in puzzles.demonstrations:
        puzzle = countdown.read_question(one.question)
        by_value = countdown.expressions(tuple(sorted(puzzle.numbers)))
        values = {text: float(value) for value, texts in by_value.items() for text in texts}
        wrong = rng.permutation([text for text, value in values.items() if value != puzzle.target]).tolist()
        right = [text for text, value in values.items() if value == puzzle.target]
        chosen = [str(rng.choice(right)), *wrong[: config.num_candidates - 1]]
        puzzles.candidates[one.question] = chosen
        puzzles.solves[one.question] = np.array([countdown.solves(one.question, text) for text in chosen], float)
        for text in {*chosen, one.answer}:
            value = values[text]
            puzzles.features[one.question, text] = np.array(
                [
                    -abs(math.tanh((value - puzzle.target) / 10)),
                    math.tanh(value / 20),
                    float(value.is_integer()),
                    float("(" in text),
                    text.count("*") / 2,
                ]
            )
    return puzzles


def solved(policy: FeaturePolicy, puzzles: Puzzles) -> float:
    """The chance that an answer is right, exactly."""
    return float(np.mean([policy.chances(question) @ right for question, right in puzzles.solves.items()]))


class Learned(NamedTuple):
    """The chance of a right answer on unseen puzzles after each round, and whether the policy moved in it."""

    solved: Float[np.ndarray, " T"]
    moved: Int[np.ndarray, " T"]


def play_countdown(config: Config, seed: int, checked: bool) -> Learned:
    """RARO from nothing, or, `checked`, the same loop with the checker's word as the reward: RLVR, the ceiling."""
    rng = np.random.default_rng([config.seed, seed])
    train = draw_puzzles(config, rng, frozenset())
    unseen = draw_puzzles(config, rng, frozenset(one.id for one in train.demonstrations))
    candidates, features = train.candidates | unseen.candidates, train.features | unseen.features

    def seen(question: str, answer: str) -> Float[np.ndarray, " D"]:
        return features[question, answer]

    policy = FeaturePolicy(candidates.__getitem__, seen, np.zeros(NUM_FEATURES))
    critic = untaught(seen, NUM_FEATURES)
    memory, right, moved = Memory(), [solved(policy, unseen)], [0]
    for _ in range(config.num_rounds):
        played = play_round(train.demonstrations, policy.answer, critic.judge, memory, config.game, rng)
        lesson = by_checker(played.policy, train, config) if checked else played.policy
        policy, critic = policy.learn(lesson, config.policy_rate), critic.learn(played.critic, config.critic_rate)
        memory = played.memory
        right.append(solved(policy, unseen))
        moved.append(int(played.advice.policy_moves))
    return Learned(np.array(right), np.array(moved))


def by_checker(lesson: Lesson, puzzles: Puzzles, config: Config) -> Lesson:
    """The same samples, weighed by what the checker says of them."""
    questions = [one.question for one in puzzles.demonstrations for _ in range(config.game.num_answers)]
    right = [countdown.solves(question, text) for question, text in zip(questions, lesson.samples.texts, strict=True)]
    groups = np.repeat(np.arange(len(puzzles.demonstrations)), config.game.num_answers)
    found = advantages(np.array(right, float), groups, lesson.samples.whole)
    return Lesson(lesson.samples, config.game.policy_share * found / len(found), lesson.kept)


def played(config: Config) -> list[Claim]:
    """What is learned from answers alone, beside what the checker would teach; and that the policy waits at first."""
    runs = [
        (play_countdown(config, seed, False), play_countdown(config, seed, True)) for seed in range(config.num_seeds)
    ]
    start = np.array([raro.solved[0] for raro, _ in runs])
    raro, checked = (np.array([run[which].solved[-1] for run in runs]) for which in (0, 1))
    waits = [raro.moved[1] == 0 for raro, _ in runs]
    return [
        at_least("solved_minus_start_low@feature_critic", low(raro - start), 0.0, PLAYED),
        at_least("share_of_rlvr_gap_low@feature_critic", low((raro - start) / (checked - start)), 0.5, PLAYED),
        near("policy_waits_for_an_untaught_critic", sum(waits) / len(waits), 1.0, 0.0, PLAYED),
    ]


def low(values: Float[np.ndarray, " B"]) -> float:
    """The lower end of the 95 % interval of the mean, by Student's t."""
    return float(values.mean() - stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))


def bisect(holds: Callable[[float], Any], start: float, stop: float) -> float:
    """Where `holds` stops to be true between `start` and `stop`."""
    for _ in range(60):
        middle = (start + stop) / 2
        start, stop = (middle, stop) if holds(middle) else (start, middle)
    return start


def draw(figure: Any) -> None:
    """What a policy loses by being unlike the expert, and the chance of a right answer round by round."""
    left, right = figure.subplots(1, 2)
    factors, expert = np.geomspace(1.0, 20.0, 400), np.array([0.5, 0.5])
    for tau in (0.5, 0.55, 0.7):
        earned = [
            exact.pairwise(expert, np.array([1.0, factor]) / (1.0 + factor), Rules(tau_critic=tau)).policy
            for factor in factors
        ]
        left.semilogx(factors, earned, label=f"τ_critic = {tau:g}")
    left.set(xlabel="by which factor e/π differs between two answers", ylabel="policy's reward", title="best critic")
    left.legend(frameon=False)
    config = Config(num_seeds=3)
    for seed, checked in itertools.product(range(config.num_seeds), (False, True)):
        label = ("RLVR: the checker" if checked else "RARO: answers alone") if seed == 0 else None
        right.plot(play_countdown(config, seed, checked).solved, color="gray" if checked else "C0", label=label)
    right.set(xlabel="round", ylabel="chance of a right answer", title="Countdown, critic of features")
    right.legend(frameon=False)
