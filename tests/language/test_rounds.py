"""One step of the game with players made here; the critic of features; the tournament."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from tacit.language.demonstrations import Demonstration
from tacit.language.feature_critic import FeatureCritic, untaught
from tacit.language.game import FIRST, LABELS, SECOND, TIE, Contest, Pair, Rules
from tacit.language.replay import Pool
from tacit.language.rounds import Config, Lesson, Memory, Samples, labels_of, play_round
from tacit.language.tournament import tournaments
from tacit.language.verdicts import SAYING
from tacit.language.watch import Guards

CONFIG = Config(num_answers=6, num_verdicts=4)


def demonstrations(num: int) -> list[Demonstration]:
    """Questions whose expert answers 50."""
    return [Demonstration(str(index), f"question {index}", "50") for index in range(num)]


def answering(cut: float = 0.2):
    """A policy of numbers, some of them cut off."""

    def answer(questions: Sequence[str], rng: np.random.Generator) -> Samples:
        said = [str(number) for number in rng.integers(100, size=len(questions))]
        return Samples(said, rng.random(len(questions)) >= cut, None)

    return answer


def judging(skill: float, silent: float = 0.1, tie: float = 0.1):
    """A critic that takes the expert's number for the right one with chance `skill`."""

    def judge(pairs: Sequence[Pair], rng: np.random.Generator) -> Samples:
        texts = []
        for pair in pairs:
            right = FIRST if pair.first == "50" else SECOND
            label = right if rng.random() < skill else 1 - right
            texts.append("hm" if rng.random() < silent else SAYING[TIE if rng.random() < tie else label])
        return Samples(texts, np.ones(len(pairs), bool), None)

    return judge


def test_a_round(rng) -> None:
    asked, memory = demonstrations(20), Memory(Pool(tuple(Contest(f"old {n}", "50", "3") for n in range(30))))
    played = play_round(asked, answering(), judging(1.0), memory, CONFIG, rng)
    policy, critic = played.policy, played.critic
    assert len(policy.weights) == 20 * 6
    assert len(critic.weights) == 20 * 4
    assert played.advice.policy_moves
    assert np.abs(policy.weights).max() > 0.0
    assert np.abs(critic.weights).max() > 0.0
    for weights, group in ((policy.weights, 6), (critic.weights, 4)):
        assert weights.reshape(-1, group).sum(axis=1) == pytest.approx(np.zeros(20), abs=1e-12)
    # Nothing is learned from what was cut off or could not be read.
    assert (policy.weights[~policy.samples.whole] == 0.0).all()
    assert not policy.kept[~policy.samples.whole].any()
    silent = np.array([text == "hm" for text in critic.samples.texts])
    assert silent.any()
    assert (critic.weights[silent] == 0.0).all()
    assert (critic.kept == ~silent).all()
    # What is remembered is what was judged: whole answers, each beside its own expert's.
    new = played.memory.pool.contests[30:]
    assert len(new) == policy.samples.whole.sum()
    said = [text for text, whole in zip(policy.samples.texts, policy.samples.whole, strict=True) if whole]
    assert [contest.answer for contest in new] == said


def test_weights_are_the_rewards_less_their_mean(rng) -> None:
    """Every answer ends and every verdict is right: all weights can be said beforehand."""
    config = Config(num_answers=2, num_verdicts=2, rules=Rules(0.6, 0.55), guards=Guards(level=1.01))
    calls: list[Sequence[Pair]] = []

    def judge(pairs: Sequence[Pair], rng: np.random.Generator) -> Samples:
        calls.append(pairs)
        # The first answer of a question ties, the second loses; later, verdicts are right and wrong by turns.
        right = [FIRST if pair.first == "50" else SECOND for pair in pairs]
        if len(calls) == 1:
            labels = [place if index % 2 else TIE for index, place in enumerate(right)]
        else:
            labels = [1 - place if index % 2 else place for index, place in enumerate(right)]
        return Samples([SAYING[label] for label in labels], np.ones(len(pairs), bool), None)

    def answer(questions: Sequence[str], rng: np.random.Generator) -> Samples:
        return Samples(["7"] * len(questions), np.ones(len(questions), bool), None)

    played = play_round(demonstrations(40), answer, judge, Memory(), config, rng)
    assert played.policy.weights == pytest.approx(np.tile([0.3, -0.3], 40) / 80 / 9)
    assert played.critic.weights == pytest.approx(np.tile([0.5, -0.5], 40) / 80 * 8 / 9)
    assert played.metrics.tie_rate == 0.5
    assert played.metrics.policy_reward == pytest.approx(0.3)
    assert played.metrics.critic_reward == pytest.approx((1 + 0.55) / 2)
    # A group of verdicts is on one pair in one order.
    assert all(calls[1][index] == calls[1][index + 1] for index in range(0, 80, 2))


def test_the_policy_stands_still_while_the_critic_guesses(rng) -> None:
    guessing = Config(num_answers=6, num_verdicts=4, guards=Config().guards)
    for skill in (0.5, 0.0):
        played = play_round(demonstrations(20), answering(), judging(skill), Memory(), guessing, rng)
        assert not played.advice.policy_moves or skill == 0.5
        if not played.advice.policy_moves:
            assert (played.policy.weights == 0.0).all()
        assert np.abs(played.critic.weights).max() > 0.0, "the critic learns on"


def test_a_critic_that_likes_an_experts_text_or_does_not_is_let_through_as_seldom_as_promised(rng) -> None:
    """At chance between questions, but sure within each: six answers to a question are no more evidence than one."""
    config = CONFIG.apart(num_verdicts=0, guards=Guards(level=0.1))

    def partial(pairs: Sequence[Pair], rng: np.random.Generator) -> Samples:
        labels = [(FIRST if pair.first == "50" else SECOND) ^ (pair.question not in liked) for pair in pairs]
        return Samples([SAYING[label] for label in labels], np.ones(len(pairs), bool), None)

    let_through = []
    for _ in range(150):
        asked = demonstrations(20)
        liked = {one.question for one in asked if rng.random() < 0.5}
        played = play_round(asked, answering(), partial, Memory(), config, rng)
        assert len(played.memory.trials.labels) == 20
        let_through.append(played.advice.policy_moves)
    assert np.mean(let_through) < 0.1 + 3 * np.sqrt(0.1 * 0.9 / 150)
    assert any(let_through)


def test_without_verdicts_the_critic_is_asked_once_and_contests_are_kept(rng) -> None:
    calls: list[int] = []

    def judge(pairs: Sequence[Pair], rng: np.random.Generator) -> Samples:
        calls.append(len(pairs))
        return judging(0.8)(pairs, rng)

    played = play_round(demonstrations(5), answering(0.0), judge, Memory(), CONFIG.apart(num_verdicts=0), rng)
    assert [num for num in calls if num] == [5 * 6]
    assert len(played.mixed) == 5
    assert len(played.critic.weights) == 0


def test_half_of_what_the_critic_learns_from_is_replayed(rng) -> None:
    seen: list[str] = []

    def judge(pairs: Sequence[Pair], rng: np.random.Generator) -> Samples:
        seen.extend(pair.question for pair in pairs)
        return judging(0.8)(pairs, rng)

    memory = Memory(Pool(tuple(Contest(f"old {n}", "50", "3") for n in range(30))))
    play_round(demonstrations(20), answering(0.0), judge, memory, CONFIG, rng)
    later = seen[20 * 6 :]
    assert sum(question.startswith("old") for question in later) == 4 * 10
    assert len(later) == 4 * 20


@pytest.mark.parametrize(("num_again", "num_mixed"), [(1, 5), (3, 15), (6, 30), (50, 30)])
def test_the_critic_learns_from_so_many_contests_and_no_more_than_are_fresh(num_again, num_mixed, rng) -> None:
    """Five questions with six answers each; half of the contests are old ones."""
    config = dataclasses.replace(CONFIG, num_again=num_again)
    memory = Memory(Pool(tuple(Contest(f"old {n}", "50", "3") for n in range(40))))
    played = play_round(demonstrations(5), answering(0.0), judging(0.8), memory, config, rng)
    assert len(played.mixed) == num_mixed
    assert sum(one.question.startswith("old") for one in played.mixed) == num_mixed // 2
    assert len(played.critic.weights) == num_mixed * config.num_verdicts


def test_no_contest_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="num_again is 0, but the critic needs 1 contest or more"):
        Config(num_again=0)


def test_a_round_without_a_whole_answer_teaches_nothing(rng) -> None:
    played = play_round(demonstrations(3), answering(1.0), judging(0.8), Memory(), CONFIG, rng)
    assert (played.policy.weights == 0.0).all()
    assert len(played.critic.weights) == 0
    assert not played.advice.policy_moves


def test_a_verdict_that_was_cut_off_has_no_label() -> None:
    cut = Samples(["Label: 1", "Label: 1"], np.array([True, False]), None)
    assert labels_of(cut).tolist() == [FIRST, -1]


@pytest.mark.parametrize("name", ["num_answers", "num_verdicts"])
def test_groups_of_one_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is 1"):
        Config(**{name: 1})


def closeness(question: str, answer: str) -> np.ndarray:
    """Two features: how near the number is to 50, and on which side, which tells nothing."""
    return np.array([-abs(float(answer) - 50) / 50, (float(answer) - 50) / 50])


def draw_critic(rng: np.random.Generator) -> FeatureCritic:
    return FeatureCritic(closeness, rng.normal(size=2), rng.normal())


def draw_pairs(rng: np.random.Generator, num: int) -> list[Pair]:
    return [Pair("q", *(str(number) for number in rng.integers(100, size=2))) for _ in range(num)]


def test_swapping_answers_swaps_the_chances(rng) -> None:
    critic, pairs = draw_critic(rng), draw_pairs(rng, 20)
    swapped = [Pair(pair.question, pair.second, pair.first) for pair in pairs]
    there, back = (critic.log_chances(critic.differences(some)) for some in (pairs, swapped))
    assert there[:, [SECOND, FIRST, TIE]] == pytest.approx(back)
    assert np.exp(there).sum(axis=1) == pytest.approx(np.ones(20))
    # A critic that looks at the first answer alone has no such symmetry.
    alone, other = (
        critic.log_chances(np.array([closeness("q", pair.first) for pair in some])) for some in (pairs, swapped)
    )
    assert alone[:, [SECOND, FIRST, TIE]] != pytest.approx(other)


def test_differences_leave_room_for_the_tie_and_scores_do_not(rng) -> None:
    """Of two equally good answers the critic says tie as often as its bias says, however good they are."""
    critic = FeatureCritic(closeness, np.array([5.0, 0.0]), 0.5)
    good = critic.log_chances(critic.differences([Pair("q", "50", "50")]))
    bad = critic.log_chances(critic.differences([Pair("q", "90", "10")]))
    assert good == pytest.approx(bad)
    scores = np.array([critic.weights @ closeness("q", answer) for answer in ("50", "90")])
    ties = np.exp(0.5) / (np.exp(0.5) + 2 * np.exp(scores))
    assert ties[0] != pytest.approx(ties[1]), "with scores themselves the tie depends on how good both are"


def test_learning_follows_the_gradient(rng) -> None:
    critic, pairs = draw_critic(rng), draw_pairs(rng, 12)
    samples = critic.judge(pairs, rng)
    weights = rng.normal(size=12)

    def objective(one: FeatureCritic) -> float:
        differences, labels = samples.trace
        return float(weights @ one.log_chances(differences)[np.arange(12), labels])

    learned = critic.learn(Lesson(samples, weights, np.ones(12, bool)), rate=1.0)
    tiny = 1e-6
    for index in range(2):
        step = np.eye(2)[index] * tiny
        nudged = [FeatureCritic(closeness, critic.weights + sign * step, critic.tie) for sign in (1, -1)]
        slope = (objective(nudged[0]) - objective(nudged[1])) / (2 * tiny)
        assert learned.weights[index] - critic.weights[index] == pytest.approx(slope, abs=1e-6)
    nudged = [FeatureCritic(closeness, critic.weights, critic.tie + sign * tiny) for sign in (1, -1)]
    slope = (objective(nudged[0]) - objective(nudged[1])) / (2 * tiny)
    assert learned.tie - critic.tie == pytest.approx(slope, abs=1e-6)


def test_verdicts_are_drawn_as_the_chances_say(rng) -> None:
    critic, pair = draw_critic(rng), draw_pairs(rng, 1)
    labels = labels_of(critic.judge(pair * 4000, rng))
    chances = np.exp(critic.log_chances(critic.differences(pair)))[0]
    for label in LABELS:
        error = np.sqrt(chances[label] * (1 - chances[label]) / 4000)
        assert abs((labels == label).mean() - chances[label]) < 5 * error + 1e-9


def test_the_critic_learns_what_tells_the_expert(rng) -> None:
    """From nothing, in play: the feature that matters gets the weight."""
    critic, memory = untaught(closeness, 2), Memory()
    for _ in range(60):
        played = play_round(demonstrations(16), answering(), critic.judge, memory, CONFIG, rng)
        critic, memory = critic.learn(played.critic, rate=20.0), played.memory
    assert critic.weights[0] > 3.0
    assert abs(critic.weights[1]) < critic.weights[0] / 3
    assert played.advice.policy_moves


def best_judge(calls: list[int]):
    """Says which answer is the larger number, and counts."""

    def judge(pairs: Sequence[Pair], rng: np.random.Generator) -> Samples:
        calls.append(len(pairs))
        labels = [FIRST if int(pair.first) > int(pair.second) else SECOND for pair in pairs]
        return Samples([SAYING[label] for label in labels], np.ones(len(pairs), bool), None)

    return judge


def test_the_best_answer_wins_in_as_many_matches_as_it_takes(rng) -> None:
    for _ in range(20):
        entrants = [
            [str(number) for number in rng.permutation(1000)[: rng.integers(1, 20)]] for _ in range(rng.integers(1, 5))
        ]
        calls: list[int] = []
        won = tournaments([f"q{table}" for table in range(len(entrants))], entrants, best_judge(calls), rng)
        assert [offered[index] for offered, index in zip(entrants, won, strict=True)] == [
            max(offered, key=int) for offered in entrants
        ]
        assert sum(calls) == sum(len(offered) - 1 for offered in entrants)
        assert len(calls) == max(int(np.ceil(np.log2(len(offered)))) for offered in entrants)


def test_a_critic_that_says_places_or_nothing_chooses_evenly(rng) -> None:
    for text in ("Label: 1", "Label: tie", "hm"):

        def judge(pairs: Sequence[Pair], rng: np.random.Generator, text: str = text) -> Samples:
            return Samples([text] * len(pairs), np.ones(len(pairs), bool), None)

        won = tournaments(["q"] * 3000, [["a", "b", "c", "d"]] * 3000, judge, rng)
        counts = np.bincount(won, minlength=4)
        assert ((counts - 750) ** 2 / 750).sum() < 30.0  # chi-square with 3 degrees of freedom: 1 in 700,000


def test_refused_tournaments(rng) -> None:
    with pytest.raises(ValueError, match="Question 1 has no answer"):
        tournaments(["q", "r"], [["a"], []], best_judge([]), rng)
    with pytest.raises(ValueError, match="2 questions, but answers to 1"):
        tournaments(["q", "r"], [["a"]], best_judge([]), rng)
