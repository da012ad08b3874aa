"""The table grows row by row, goes on where it stopped, tells what is missing, and says of its rows what they say."""

import dataclasses
import functools
import json
from collections.abc import Iterator
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Key

from tacit.assistants import assistancezero, oracle
from tacit.assistants.assistancezero import AssistanceZero, Foresight, Skill
from tacit.core import ASSISTANT
from tacit.games import building_small
from tacit.humans import builder
from tacit.humans.builder import Builder
from tacit.learning.lessons import LessonTrainer, Schedule
from tacit.learning.networks import CounselNetwork, Sizes, VoxelNetwork
from tacit.learning.training import TrainingError
from tacit.planning.tree_policies import Gumbel
from tacit.planning.tree_search import Config as Search
from tacit.studies import assistancezero as study
from tacit.studies import assistancezero_rows as rows
from tacit.studies import assistancezero_table as said
from tacit.studies.assistancezero import Config, Part
from tacit.studies.assistancezero_rows import LEARNERS, ROWS, Budget, Forgetful, Row
from tacit.studies.claims import Place, silent

SMALL = VoxelNetwork(
    Sizes((4, 4, 4), 5, 1, 1, 1, 1, 1, width=8, depth=1, embedding=4), jnp.full((4, 4, 4, 5), 0.2), jax.random.key(0)
)
SKILL = Skill(CounselNetwork(SMALL, jax.random.key(1)), jnp.float32(0.4))
TOLD = eqx.tree_at(lambda trainer: trainer.task.start, rows.shortened(Budget()), SKILL.network)
NUM_EPISODES = 12
CONFIG = Config({"builder": NUM_EPISODES}, num_seeds=2)


class Walk(NamedTuple):
    best: CounselNetwork
    key: Key[Array, ""]


class Walking(LessonTrainer):
    """A training without a lesson: in every round one number of the network takes a random step."""

    def init(self, key: Key[Array, ""]) -> Walk:
        return Walk(SKILL.network, key)

    def advance(self, state: Walk) -> tuple[Walk, dict[str, Array]]:
        key, step_key = jax.random.split(state.key)
        bias = state.best.value_head.bias + jax.random.normal(step_key, (1,))
        return Walk(eqx.tree_at(lambda net: net.value_head.bias, state.best, bias), key), {"bias": bias[0]}

    def done(self, state: Walk) -> bool:
        del state
        return False

    def release(self, state: Walk) -> tuple[eqx.Module, dict[str, float]]:
        return self.finish(state.best)


def walking(budget: Budget, seed: int, others: object, num_rounds: int = 4) -> LessonTrainer:
    del budget, seed, others
    return Walking(Schedule(num_rounds=num_rounds), TOLD.source, TOLD.task, lambda network: (network, {}))


def failing(budget: Budget, seed: int, others: object) -> LessonTrainer:
    """With one of its seeds."""
    if seed == 1:
        raise TrainingError("Round 3 went wrong: the loss is nan.")
    return walking(budget, seed, others)


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A table of stand-ins: who played, in order. What they did is drawn from their names."""
    order: list[str] = []

    def run(contest, contender):
        horizon = contest.game.horizon
        order.append(contender.name)
        rng = np.random.default_rng([sum(contender.name.encode()), len(order)])
        needed = np.random.default_rng(contest.seed).integers(40, 60, contest.num_episodes)
        human = rng.integers(10, 40, contest.num_episodes)
        values = [rng.integers(50, horizon, contest.num_episodes), needed - rng.integers(0, 3, contest.num_episodes)]
        values.append(rng.integers(10, 40, contest.num_episodes))
        tally = said.Counts(*(np.asarray(x, np.float32) for x in (*values, needed, human, needed - human)))
        return tally

    stand_ins = {name: row._replace(learner=row.learner and "walk", play=lambda *_: None) for name, row in ROWS.items()}
    monkeypatch.setattr(study, "run", run)
    monkeypatch.setattr(jax, "clear_caches", lambda: None)  # nothing large is compiled for stand-ins
    monkeypatch.setattr(said, "interval", functools.partial(said.interval, num_resamples=12))
    monkeypatch.setattr(study, "untrained", lambda: SKILL)
    monkeypatch.setattr(study, "ROWS", stand_ins)
    monkeypatch.setattr(study, "LEARNERS", {"walk": walking})
    monkeypatch.setitem(study.CONFIGS, "small", CONFIG)
    return order


def told(out) -> dict:
    return json.loads((out / "table.json").read_text(encoding="utf-8"))


def test_it_grows_row_by_row_and_goes_on(played, tmp_path):
    """Stopped after any row, what is there stays, the rest is told as missing, and nothing is done twice."""
    place = Place(tmp_path / "table", None)

    def stop(what, number, total, numbers):
        if what.startswith("none"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study.make_at("small", place, stop)
    before = list(played)
    there = {row["row"]: row for row in told(place.out)["rows"]}
    assert list(there) == list(ROWS)
    assert [name for name, row in there.items() if row["missing"] is None] == ["assistancezero", "greedy", "none"]
    assert there["ppo"]["missing"] == "seed 0: not done yet; seed 1: not done yet"
    assert there["ppo"]["people"] == {"builder": None}
    assert there["assistancezero"]["seeds"] == [0, 1]
    assert there["assistancezero"]["people"]["builder"]["early_reward_minus_ppo"] is None
    claims = study.make_at("small", place, silent)
    assert played[: len(before)] == before
    again = played[len(before) :]
    assert not {"assistancezero", "greedy", "none"} & set(again)
    assert len(played) == len(study.in_order("small")), "each part plays once"
    assert all(row["missing"] is None for row in told(place.out)["rows"])
    assert told(place.out)["skipped_claims"] == {}
    assert len(claims) == len(said.QUESTIONS)
    assert [claim.measured for claim in study.make_at("small", place, silent)] == [claim.measured for claim in claims]


def test_claims_and_figures_are_those_of_the_episodes(played, tmp_path):
    """Against means taken by hand from the files of the rows; differences are of the same houses."""
    place = Place(tmp_path, None)
    claims = {claim.name: claim for claim in study.make_at("small", place, silent)}

    def mean(row: str, field: str) -> float:
        files = [json.loads(path.read_text()) for path in sorted(tmp_path.glob(f"row-{row}-[0-9].json"))]
        return float(np.mean([one["people"]["builder"][field] for one in files]))

    saved = 1 - mean("assistancezero", "human_edits") / mean("none", "human_edits")
    assert claims["human_actions_saved@builder"].measured == pytest.approx(saved)
    assert claims["human_actions_saved@builder"].passed == (saved >= 0.3)
    for name, row in (("oracle_share", "oracle"), ("assistant_share", "assistancezero")):
        files = [json.loads(path.read_text())["people"]["builder"] for path in tmp_path.glob(f"row-{row}-?.json")]
        shares = [np.divide(one["assistant_gain"], one["edits_needed"]) for one in files]
        assert claims[f"{name}@builder"].measured == pytest.approx(np.mean(shares), rel=1e-5)
    (row,) = (row for row in told(tmp_path)["rows"] if row["row"] == "assistancezero")
    figures = row["people"]["builder"]
    ahead = mean("assistancezero", "early_reward") - mean("ppo", "early_reward")
    difference = figures["early_reward_minus_ppo"]
    assert difference["mean"] == pytest.approx(ahead)
    assert difference["low"] < ahead < difference["high"]
    assert claims["early_reward_of_assistancezero_minus_ppo_low@builder"].measured == pytest.approx(difference["low"])
    spared = figures["human_actions_minus_ppo"]
    assert spared["mean"] == pytest.approx(mean("assistancezero", "human_edits") - mean("ppo", "human_edits"))
    assert claims["human_actions_of_ppo_minus_assistancezero_low@builder"].measured == pytest.approx(-spared["high"])
    assert np.mean(figures["by_seed"]["human_actions"]) == pytest.approx(figures["human_actions"]["mean"])
    assert figures["human_actions"]["mean"] == pytest.approx(mean("assistancezero", "human_edits"))


def test_what_a_part_is_worth_is_told_by_the_seeds_that_both_rows_have(played, tmp_path, monkeypatch):
    """Against the row that differs in this part alone, paired by house and by seed."""
    monkeypatch.setitem(study.LEARNERS, "broken", failing)
    monkeypatch.setitem(study.ROWS, "no-augmentation", Row("broken", lambda *_: None, "assistancezero-short"))
    study.make_at("small", Place(tmp_path, None), silent)
    there = {row["row"]: row for row in told(tmp_path)["rows"]}

    def mean(row: str) -> float:
        file = json.loads((tmp_path / f"row-{row}-0.json").read_text())
        return float(np.mean(file["people"]["builder"]["human_edits"]))

    assert there["no-augmentation"]["yardstick"] == "assistancezero-short"
    difference = there["no-augmentation"]["people"]["builder"]["human_actions_minus_yardstick"]
    assert difference["mean"] == pytest.approx(mean("no-augmentation") - mean("assistancezero-short"))
    assert difference["low"] < difference["mean"] < difference["high"]
    assert "human_actions_minus_yardstick" not in there["greedy"]["people"]["builder"], "it has none"


def test_a_yardstick_has_every_seed_of_the_row_that_it_is_for():
    """So that nothing of a finished table is left out of a comparison."""
    config = study.CONFIGS["full"]
    for name, row in ROWS.items():
        if row.yardstick is not None:
            assert set(study.seeds(name, config)) <= set(study.seeds(row.yardstick, config))


def test_what_cannot_be_trained_is_missing_and_its_claims_are_skipped(played, tmp_path, monkeypatch):
    monkeypatch.setitem(study.LEARNERS, "broken", failing)
    monkeypatch.setitem(study.ROWS, "ppo", Row("broken", lambda *_: None))
    claims = study.make_at("small", Place(tmp_path, None), silent)
    there = {row["row"]: row for row in told(tmp_path)["rows"]}
    assert there["ppo"]["missing"] == "seed 1: Round 3 went wrong: the loss is nan."
    assert there["ppo"]["seeds"] == [0]
    skipped = told(tmp_path)["skipped_claims"]
    assert set(skipped) == {
        "early_reward_of_assistancezero_minus_ppo_low@builder",
        "early_reward_of_assistancezero-short_minus_ppo_low@builder",
        "human_actions_of_ppo_minus_assistancezero_low@builder",
    }
    assert set(skipped.values()) == {"the table lacks ppo (seed 1: Round 3 went wrong: the loss is nan.)"}
    assert len(claims) == len(said.QUESTIONS) - 3


def test_who_is_no_better_is_not_ahead():
    rng = np.random.default_rng()
    same = said.Counts(*(rng.integers(1, 9, (NUM_EPISODES, 2)).astype(float) for _ in said.Counts._fields))
    question = said.ahead("greedy", "none")
    measured = question.measure(same, same)
    assert measured == 0.0
    assert not question.claim("ahead", measured, question.bound, question.source).passed
    assert question.claim("ahead", 1e-6, question.bound, question.source).passed


def test_who_is_clearly_better_is_not_hardly_ahead():
    rng = np.random.default_rng()
    one = said.Counts(*(rng.integers(1, 9, (NUM_EPISODES, 2)).astype(float) for _ in said.Counts._fields))
    question = said.hardly_ahead("oracle-deep-search", "oracle")
    for more, held in ((0.0, True), (0.9, True), (1.1, False)):
        measured = question.measure(one._replace(early_reward=one.early_reward + more), one)
        assert measured == pytest.approx(more)
        assert question.claim("hardly", measured, question.bound, question.source).passed == held


def test_parts_done_one_by_one_say_the_same(played, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = [study.measure(group) for group in study.parts("small")]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert {(one.row, one.seed) for some in found for one in some} == {part[1:] for part in study.in_order("small")}
    claims = study.conclude("small", found)
    out, num_played = tmp_path / "elsewhere" / "runs" / "study-assistancezero-small", len(played)
    assert all(row["missing"] is None for row in told(out)["rows"])
    again = study.make_at("small", Place(out, None), silent)
    assert len(played) == num_played, "what was handed over is kept"
    assert [claim.measured for claim in claims] == [claim.measured for claim in again]


def test_a_training_that_was_stopped_ends_with_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "untrained", lambda: SKILL)
    monkeypatch.setattr(study, "EVERY", 0.0)
    path, rounds = tmp_path / "half", []

    def stop(num_done, numbers):
        rounds.append(num_done)
        if len(rounds) == 3:
            raise KeyboardInterrupt

    whole, _ = study.trained(walking(Budget(), 5, None), 5, tmp_path / "whole", lambda num_done, numbers: None)
    with pytest.raises(KeyboardInterrupt):
        study.trained(walking(Budget(), 5, None), 5, path, stop)
    assert path.exists()
    again, seconds = study.trained(walking(Budget(), 5, None), 5, path, stop)
    assert rounds == [1, 2, 3, 3, 4]
    assert seconds > 0.0
    assert not path.exists(), "a finished training leaves no checkpoint"
    assert eqx.tree_equal(whole, again)
    other, _ = study.trained(walking(Budget(), 6, None), 6, path, lambda num_done, numbers: None)
    assert not eqx.tree_equal(whole, other), "seeds differ"


def test_what_there_is_of_it_can_be_drawn(played, tmp_path):
    """Rows that are missing, and those off the scale, are left out."""
    figure = pytest.importorskip("matplotlib.figure").Figure
    with pytest.raises(ValueError, match="no rows of a table yet"):
        study.draw_table(figure(), tmp_path)
    config = dataclasses.replace(CONFIG, rows=("greedy", "random", "none", "ppo"))
    found = [study.done(Part("small", row, 0), tmp_path, silent) for row in ("greedy", "random", "none")]
    study.keep_table(config, found, tmp_path)
    drawn = figure()
    study.draw_table(drawn, tmp_path)
    edits, reward = drawn.axes
    assert [label.get_text() for label in edits.get_yticklabels()] == ["greedy", "none"]
    means, _, (bars,) = reward.containers[0]
    figures = [row["people"]["builder"]["early_reward_minus_greedy"] for row in told(tmp_path)["rows"][:3:2]]
    assert means.get_xdata() == pytest.approx([one["mean"] for one in figures])
    ends = [sorted(x for x, _ in segment) for segment in bars.get_segments()]
    assert ends == [pytest.approx([one["low"], one["high"]]) for one in figures]


def test_another_table_is_refused(played, tmp_path, monkeypatch):
    study.check_settings(CONFIG, tmp_path)
    study.check_settings(CONFIG, tmp_path)
    with pytest.raises(ValueError, match="holds a table with other settings"):
        study.check_settings(dataclasses.replace(CONFIG, seed=CONFIG.seed + 1), tmp_path)
    monkeypatch.setitem(study.LEARNERS, "walk", functools.partial(walking, num_rounds=5))
    with pytest.raises(ValueError, match=r'num_rounds": 4 there, num_rounds": 5 now'):
        study.check_settings(CONFIG, tmp_path)


def test_a_table_takes_new_rows_and_still_refuses_others_that_changed(played, tmp_path, monkeypatch):
    some, more = (dataclasses.replace(CONFIG, rows=rows) for rows in (("none", "ppo"), ("ppo", "greedy")))
    for config in (some, more, CONFIG):
        study.check_settings(config, tmp_path)
    assert json.loads((tmp_path / "settings.json").read_text(encoding="utf-8"))["rows"].keys() == set(CONFIG.rows)
    monkeypatch.setitem(study.ROWS, "none", Row(None, lambda *_: 7))
    study.check_settings(more, tmp_path)
    with pytest.raises(ValueError, match="null there, 7 now"):
        study.check_settings(some, tmp_path)


@pytest.mark.parametrize("text", ["", "[]", '{"study": 1}'])
def test_damaged_settings_are_refused(played, tmp_path, text):
    (tmp_path / "settings.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"settings.json is damaged: give another folder"):
        study.check_settings(CONFIG, tmp_path)


def test_settings_are_those_of_recipes_sources_and_players():
    """Defaults too: what is not in a config may be changed in a recipe."""
    rows = json.loads(study.settings(dataclasses.replace(CONFIG, rows=("no-recurrence", "ppo"))))["rows"]
    player, config, source, _ = rows["no-recurrence"]
    assert player["searcher"]["config"]["num_simulations"] == assistancezero.PLAYING.num_simulations
    assert player["searcher"]["foresight"]["recall"] == source["recall"] == "nothing"
    assert config["num_rounds"] == 16
    assert source["config"]["num_simulations"] == 16
    assert (source["trace"], source["every"]) == (0.9, 2)
    assert [kind["is"] for kind in source["helped"]["human"]["kinds"]] == ["Builder", "PiKL"]
    player, config, source, _ = rows["ppo"]
    assert (player["temperature"], config["clip_ratio"], source["num_moments"]) == (0.3, 0.2, 16)


def test_every_row_has_its_learner_and_seeds():
    assert {row.learner for row in ROWS.values()} - {None} | set(rows.STARTS_FROM.values()) == set(LEARNERS)
    found = study.in_order("small")
    assert list(dict.fromkeys(part.row for part in found)) == list(ROWS)
    assert Part("small", "ppo", 2) in found
    assert Part("small", "greedy", 1) not in found
    groups = study.parts("small")
    assert sorted(part for group in groups for part in group) == sorted(found)
    assert [Part("small", "pretrained", 1), Part("small", "sft", 1)] in groups, "or both would learn the first"
    assert [Part("small", "assistancezero-short", 0), Part("small", "no-search-at-play", 0)] in groups
    assert [Part("small", "greedy", 0)] in groups


def test_each_ablation_leaves_out_one_thing():
    budget = Budget(search=7, schedule={"num_worlds": 32})

    def others(name: str) -> object:
        return study.blank_network(LEARNERS[name](budget, 4, others))

    made = {name: LEARNERS[name](budget, 4, others) for name in LEARNERS}
    full = made["assistancezero-short"]
    assert full.config.num_rounds == 7
    assert all(trainer.config.num_worlds == 32 for trainer in made.values())
    assert made["assistancezero"].config == dataclasses.replace(
        full.config, num_rounds=budget.main, patience=budget.main
    )

    def differs(name: str, *apart: str) -> None:
        """Everything but the field is as in the full algorithm."""
        for field in ("config", "source", "task"):
            same = eqx.tree_equal(getattr(made[name], field), getattr(full, field))
            assert bool(same) == (field not in apart), f"{name}: {field}"

    differs("no-previous-goal-kl", "config", "task")
    assert made["no-previous-goal-kl"].config == dataclasses.replace(full.config, before=0.0)
    differs("no-recurrence", "source")
    differs("no-augmentation", "task")
    assert eqx.tree_equal(made["no-augmentation"].task.task, full.task)
    differs("no-warm-start", "config", "task")
    assert made["no-warm-start"].config == dataclasses.replace(full.config, learning_rate=0.01)
    differs("wrong-human", "source")
    assert isinstance(made["wrong-human"].source.helped.human, Builder)
    blank, start = made["no-warm-start"].task.start, full.task.start
    assert jax.tree.map(jnp.shape, eqx.filter(blank, eqx.is_array)) == jax.tree.map(
        jnp.shape, eqx.filter(start, eqx.is_array)
    )
    other, same = (LEARNERS["no-warm-start"](budget, seed, others).task.start for seed in (5, 4))
    assert eqx.tree_equal(same, blank)
    assert not eqx.tree_equal(other, blank), "seeds begin differently"
    game = building_small.make()
    players = {name: ROWS[name].play(game, builder.make(game), rows.untrained()) for name in ("ppo", "sft")}
    assert {player.num_candidates for player in players.values()} == {None}
    for name in ("ppo", "pretrained"):
        assert eqx.tree_equal(made[name].task.start, start), f"{name} starts where AssistanceZero does"
    differs("narrow-network", "task")
    narrow = made["narrow-network"].task.start.voxels
    assert narrow.sizes == start.voxels.sizes._replace(width=64, depth=1)
    for name, part in (("narrow-network", narrow), ("sft", made["sft"].task.start)):
        assert eqx.tree_equal(part, others(rows.STARTS_FROM[name])), f"{name} does not go on from there"


@pytest.fixture(scope="module")
def compile_quickly() -> Iterator[None]:
    """Little is played here and much compiled."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.mark.slow
@pytest.mark.usefixtures("compile_quickly")
def test_who_forgets_does_the_same_whatever_was(rng):
    """The same world, reached in two ways: one with an eventful past, one at once."""
    game = building_small.make()
    foresight = Foresight(game, rows.untrained(), recall=rows.nothing)
    searcher = AssistanceZero(foresight, Gumbel(scale=0.0), Search(2, max_depth=1))
    person, key = builder.make(game), jax.random.key(int(rng.integers(1 << 30)))

    @eqx.filter_jit
    def turn(assistant, theta, state, mind, memory, key):
        sees = game.observe(state)[ASSISTANT]
        wish, mind = person.logits(theta, mind, sees, key)
        logits, memory = assistant.logits(memory, sees, key)
        actions = jnp.stack([game.sample(wish, sees.legal[player], key) for player, wish in enumerate((wish, logits))])
        return game.step(state, actions, key), mind, memory, logits

    forgetful = Forgetful(searcher)
    theta, state = game.sample_theta(key), game.init(key)
    mind, memory = person.init(key), forgetful.init(key)
    for _ in range(6):
        state, mind, memory, _ = turn(forgetful, theta, state, mind, memory, key)
    fresh = turn(forgetful, theta, state, mind, forgetful.init(key), key)
    aged = turn(forgetful, theta, state, mind, memory, key)
    assert eqx.tree_equal(fresh[2:], aged[2:])
    assert all(not jnp.any(leaf) for leaf in jax.tree.leaves(aged[2].history))


@pytest.mark.slow
@pytest.mark.usefixtures("compile_quickly")
def test_who_is_told_the_house_searches_with_it(rng):
    game = building_small.make()
    told = rows.planning(rows.SOME, Search(16, max_depth=2))(game, builder.make(game), rows.untrained())
    key = jax.random.key(int(rng.integers(1 << 30)))
    theta, state = game.sample_theta(key), game.init(key)
    told = oracle.reveal(told, theta)

    @eqx.filter_jit
    def turn(state, memory, key):
        sees = game.observe(state)[ASSISTANT]
        logits, memory = told.logits(memory, sees, key)
        action = game.sample(logits, sees.legal[ASSISTANT], key)
        after = game.step(state, jnp.stack([0, action]), key)
        return after, memory, game.reward(theta, state, after.last_actions, after)[ASSISTANT]

    memory, gained = told.init(key), []
    for number in range(24):
        state, memory, gain = turn(state, memory, jax.random.fold_in(key, number))
        gained.append(float(gain))
    assert min(gained) >= 0.0, "it does no harm"
    assert sum(gained) >= 8.0
