"""Do Gymnasium's and PettingZoo's own checkers pass every listed game, and is what they play the same game as `play`'s?

Everyone stands for the human where it does not matter who plays: somebody who prefers nothing compiles quickly.
"""

import functools
import importlib
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Bool, Float, Int, Key

from tacit.core import ASSISTANT, HUMAN, Assistant, Game, Human, Logits, Observation, Problem, State, Theta
from tacit.evaluation.compare import draw
from tacit.games import bandit, hidden_item, two_edits
from tacit.humans import boltzmann, myopic
from tacit.members import find, members
from tacit.play import AssistantProblem, Moment, advance, play
from tacit.pomdps.rock_sample_simulator import RockSampleSimulator

if os.environ.get("CI") != "true":
    for extra in ("gymnasium", "pettingzoo"):
        pytest.importorskip(extra, reason="the extra `interop` is not installed")

import gymnasium
from gymnasium.utils.env_checker import check_env
from gymnasium.utils.seeding import np_random
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test
from pettingzoo.utils.conversions import parallel_to_aec

from tacit.app import interop
from tacit.app.interop import spaces
from tacit.app.interop.single import episode_key, episode_words

GAMES = [member.name for member in members("tacit.games")]
SMALL = [name for name in GAMES if not name.startswith("building")]
PAGE = Path(__file__).parents[2] / "docs" / "interop.md"


@pytest.fixture(autouse=True, scope="module")
def compile_quickly() -> Iterator[None]:
    """Little is played here and much compiled."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


class Everyone(Human):
    """Prefers nothing."""

    even: Logits

    def init(self, key: Key[Array, ""]) -> None:
        del key

    def logits(self, theta: Theta, memory: None, observation: Observation, key: Key[Array, ""]) -> tuple[Logits, None]:
        del theta, observation, key
        return self.even, memory


class Anybody(Assistant):
    """Prefers nothing."""

    even: Logits

    def init(self, key: Key[Array, ""]) -> None:
        del key

    def logits(self, memory: None, observation: Observation, key: Key[Array, ""]) -> tuple[Logits, None]:
        del observation, key
        return self.even, memory

    def thoughts(self, memory: None) -> None:
        return memory


@functools.cache
def load(name: str) -> Game:
    return find("tacit.games", name).load().make()


@functools.cache
def problem(name: str) -> AssistantProblem:
    return AssistantProblem(load(name), Everyone(load(name).indifferent(HUMAN)))


def make_env(game: str, render_mode: str | None = None) -> interop.ProblemEnv:
    return interop.gymnasium_env(problem(game), render_mode)


@functools.cache
def registered(name: str) -> str:
    """The id of a game under test. Gymnasium's checker looks harder at an environment that has one."""
    gymnasium.register(f"test/{name}-v0", entry_point=make_env, kwargs={"game": name})
    return f"test/{name}-v0"


def check_single(env: gymnasium.Env) -> None:
    """Gymnasium's own checker; what it only warns about fails too."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env)


def check_pair(make: Callable[[], interop.GameEnv], num_cycles: int) -> None:
    """PettingZoo's own checkers; what they only warn about fails too."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parallel_api_test(make(), num_cycles)
        parallel_seed_test(make, num_cycles)


def same(one: Any, other: Any) -> bool:
    """Whether two observations, infos or dictionaries of these are equal, types included."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    return np.asarray(one).dtype == np.asarray(other).dtype and np.array_equal(one, other)


# Everybody's checkers.


@pytest.mark.parametrize("game", GAMES)
def test_gymnasium_checker(game: str) -> None:
    check_single(gymnasium.make(registered(game), disable_env_checker=True).unwrapped)


@pytest.mark.parametrize("game", GAMES)
def test_pettingzoo_checkers(game: str) -> None:
    check_pair(lambda: interop.parallel_env(load(game)), 3 if game == "building-paper" else 20)


def test_simulator() -> None:
    """A problem whose observations are numbers, and which is no game's."""
    env = interop.gymnasium_env(RockSampleSimulator(2, 1, horizon=20))
    assert isinstance(env.observation_space["observation"], gymnasium.spaces.Discrete)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*not having a spec.*")
        check_env(env)


def test_turn_based_form() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that an observation has several parts is news to this checker
        api_test(parallel_to_aec(interop.parallel_env(load("two-edits"))), num_cycles=20)


def test_checkers_catch_wrong_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """An observation that leaves its space does not pass: the bounds of a clock that stops are wrong."""
    narrow = lambda seen, player: {"time": (0, 0)}  # noqa: E731
    monkeypatch.setattr("tacit.app.interop.single.bounds", narrow)
    with pytest.raises((AssertionError, UserWarning), match="not within the observation space"):
        check_single(gymnasium.make(registered("two-edits"), disable_env_checker=True).unwrapped)


@pytest.mark.parametrize("game", SMALL)
def test_observations_stay_in_bounds(game: str) -> None:
    """Whole episodes of any actions, legal or not; and no bound is a type's where the game has one."""
    env = interop.parallel_env(load(game), own=("theta", "felt"))
    for agent in env.possible_agents:
        env.action_space(agent).seed(1)
    for seed in range(3):
        seen, _ = env.reset(seed=seed)
        while env.agents:
            for agent in env.agents:
                assert env.observation_space(agent).contains(seen[agent]), (agent, seen[agent])
            seen, *_ = env.step({agent: env.action_space(agent).sample() for agent in env.agents})
    for name, space in env.observation_space("assistant").spaces.items():
        if isinstance(space, gymnasium.spaces.Box) and space.dtype.kind == "i":
            assert (space.high < np.iinfo(space.dtype).max).all(), f"{name} of {game} has no bound"


# The same game.


@pytest.mark.parametrize("name", ["two-edits", "hidden-item", "bandit", "tasting"])
def test_pair_plays_as_play(name: str) -> None:
    """The same actions with the same key earn the same and end at the same time."""
    game = load(name)
    env = interop.parallel_env(game)
    human, assistant = Everyone(game.indifferent(HUMAN)), Anybody(game.indifferent(ASSISTANT))

    @eqx.filter_jit
    def played(words: Array) -> Any:
        theta, key = draw(game, episode_key(words))
        episode = play(game, human, assistant, theta, key)
        before = jax.tree.map(lambda leaf: leaf[:-1], episode.states)
        return episode._replace(key=None), jax.vmap(lambda state: spaces.named(game.observe(state)[ASSISTANT]))(before)

    lengths = set()
    for seed in range(20):
        episode, sights = jax.tree.map(np.asarray, played(jnp.asarray(episode_words(np_random(seed)[0]))))
        turns = int(episode.active.sum())
        if turns == 0:
            continue  # already as wanted: `play` plays nothing then, and others at least one turn
        lengths.add(turns)
        seen, _ = env.reset(seed=seed)
        for turn in range(turns):
            assert all(np.array_equal(seen["assistant"][name], sights[name][turn]) for name in sights)
            actions = dict(zip(("human", "assistant"), episode.actions[turn].tolist(), strict=True))
            seen, rewards, terminated, truncated, _ = env.step(actions)
            assert rewards["human"] == rewards["assistant"] == pytest.approx(float(episode.rewards[turn].sum()))
        assert not env.agents
        assert terminated["human"] == (turns < game.horizon) != truncated["human"]
    assert max(lengths) == game.horizon


@pytest.mark.parametrize("name", ["two-edits", "hidden-item"])
def test_problem_plays_as_play(name: str) -> None:
    """The human's answers, the world and the rewards of a turn come from the key that `play` gives it."""
    game = load(name)
    human = boltzmann.make(game) if name == "hidden-item" else myopic.make(game)
    env = interop.gymnasium_env(AssistantProblem(game, human))
    assistant = Anybody(game.indifferent(ASSISTANT))

    @eqx.filter_jit
    def played(words: Array) -> Any:
        key = episode_key(words)
        start = env.problem.init(jax.random.fold_in(key, 0))
        moment = Moment(start.world, start.human, None, start.time, jnp.zeros((), bool))
        return advance(
            game, human, assistant, start.theta, moment, game.horizon, lambda before, after, turn: turn, key
        )[1]

    for seed in range(10):
        turns = jax.tree.map(np.asarray, played(jnp.asarray(episode_words(np_random(seed)[0]))))
        env.reset(seed=seed)
        for turn in range(int(turns.active.sum())):
            seen, reward, terminated, truncated, _ = env.step(int(turns.actions[turn, ASSISTANT]))
            assert reward == pytest.approx(float(turns.rewards[turn].sum()))
            assert seen["last_actions"].tolist() == turns.state.last_actions[turn].tolist()
        assert terminated or truncated


def test_seeds() -> None:
    one, other = make_env("hidden-item"), make_env("hidden-item")

    def episodes(env: interop.ProblemEnv, seed: int | None) -> list[Any]:
        found = [env.reset(seed=seed)]
        for _ in range(8):
            for action in (1, 2, 0):
                found.append(env.step(action))
            found.append(env.reset())
        return found

    first, again, elsewhere, different = (
        str(episodes(env, seed)) for env, seed in ((one, 7), (one, 7), (other, 7), (one, 8))
    )
    assert first == again == elsewhere != different
    assert str(episodes(one, None)) not in {first, different}, "without a seed the episodes go on"


def test_end() -> None:
    """Before the horizon an episode terminates; at the horizon it is truncated, finished or not."""
    env = interop.parallel_env(two_edits.make(num_cells=2, horizon=3))

    def ends(*turns: tuple[int, int]) -> list[tuple[bool, bool]]:
        env.reset(seed=0, options={"theta": np.array([True, True])})
        found = []
        for human, assistant in turns:
            _, _, terminated, truncated, _ = env.step({"human": human, "assistant": assistant})
            found.append((terminated["assistant"], truncated["human"]))
        return found

    assert ends((3, 4)) == [(True, False)]
    assert ends((0, 0), (0, 0), (0, 0)) == [(False, False), (False, False), (False, True)]
    assert ends((0, 0), (0, 0), (3, 4)) == [(False, False), (False, False), (False, True)]
    assert env.agents == []
    assert env.step({}) == ({}, {}, {}, {}, {})
    single = make_env("bandit")
    single.reset(seed=0)
    assert [single.step(0)[2:4] for _ in range(100)] == [(False, False)] * 99 + [(False, True)]
    with pytest.raises(gymnasium.error.ResetNeeded, match="call reset first"):
        single.step(0)


# What is legal.


@eqx.filter_jit
def log_probs(game: Game, world: State) -> tuple[Array, Array]:
    """How likely everything is for players who prefer nothing."""

    def of(player: int) -> Array:
        legal, every = game.legal(world)[player], jnp.arange(game.num_actions[player], dtype=jnp.int32)
        return jax.vmap(lambda action: game.log_prob(game.indifferent(player), legal, action))(every)

    return of(HUMAN), of(ASSISTANT)


@pytest.mark.parametrize("name", SMALL)
def test_masks(name: str) -> None:
    """1 for what `log_prob` gives a chance."""
    game, env = load(name), interop.parallel_env(load(name))
    rng = np.random.default_rng(0)
    _, infos = env.reset(seed=0)
    for _ in range(2):
        actions = {}
        for agent, chances in zip(env.agents, log_probs(game, env._pair.world), strict=True):
            mask = infos[agent]["action_mask"]
            assert mask.dtype == np.int8
            assert mask.tolist() == (chances > -jnp.inf).astype(int).tolist()
            actions[agent] = int(rng.choice(np.flatnonzero(mask)))
        _, _, _, _, infos = env.step(actions)
        if not env.agents:
            break


def test_mask_of_a_large_game() -> None:
    game = load("building-small")
    env = make_env("building-small", "ansi")
    _, info = env.reset(seed=3)
    mask = info["action_mask"]
    assert mask.shape == (game.num_actions[ASSISTANT],)
    assert env.action_masks().tolist() == mask.astype(bool).tolist()
    chances = log_probs(game, env._running.state.world)[ASSISTANT]
    assert mask.tolist() == (chances > -jnp.inf).astype(int).tolist()
    assert env.render().count("\n") == game.shape[2] - 1
    assert env.render().count("A") == 2
    assert mask.sum() > 1
    # Passing and the first illegal action come to the same, but for the record of what was tried.
    env.reset(seed=3)
    passed = env.step(0)[0]
    env.reset(seed=3)
    tried = env.step(int(np.flatnonzero(mask == 0)[0]))[0]
    differ = {name for name in passed if not np.array_equal(passed[name], tried[name])}
    assert differ == {"last_actions"}


# Secrets.


def leaks(env: Any, thetas: list[Any], actions: list[dict[str, int]]) -> bool:
    """Whether the same dice and actions look different to the assistant when the human wants something else."""
    found = []
    for theta in thetas:
        seen, infos = env.reset(seed=11, options={"theta": theta})
        shown = [(seen["assistant"], infos["assistant"])]
        for both in actions:
            seen, _, _, _, infos = env.step(both)
            shown.append((seen["assistant"], infos["assistant"]))
        found.append(shown)
    turns = zip(*found, strict=True)
    return not all(same(one[0], other[0]) and same(one[1], other[1]) for one, *others in turns for other in others)


class Gossip(interop.GameEnv):
    """Tells the assistant what the human sees."""

    def _seen(self, shown: Any) -> Any:
        seen, infos = super()._seen(shown)
        return seen | {"assistant": seen["human"]}, infos


class Whisper(interop.GameEnv):
    """Tells the assistant in passing."""

    def _seen(self, shown: Any) -> Any:
        seen, infos = super()._seen(shown)
        infos["assistant"]["hint"] = np.array(self._pair.theta)
        return seen, infos


def test_theta_is_the_humans() -> None:
    row = [np.array([True, True]), np.array([False, True])]
    edits = [{"human": 4, "assistant": 0}, {"human": 0, "assistant": 1}]
    boxes = [{"human": 1, "assistant": 2}, {"human": 2, "assistant": 0}, {"human": 0, "assistant": 1}]
    for game, thetas, actions in ((two_edits.make(horizon=5), row, edits[1:]), (hidden_item.make(), [0, 1], boxes)):
        env = interop.parallel_env(game)
        assert not leaks(env, thetas, actions)
        assert leaks(Gossip(game), thetas, actions)
        assert leaks(Whisper(game), thetas, actions)
        seen, _ = env.reset(seed=0, options={"theta": thetas[1]})
        assert np.array_equal(seen["human"]["theta"], thetas[1])
        assert "theta" in env.observation_space("human").spaces
        assert not {"theta", "felt"} & (seen["assistant"].keys() | env.observation_space("assistant").spaces.keys())


@pytest.mark.parametrize("game", GAMES)
def test_assistant_sees_no_theta(game: str) -> None:
    """No number of the human's own is an argument of what the assistant is shown, in any game."""
    env = interop.parallel_env(load(game))
    human, assistant = (set(env.observation_space(agent).spaces) for agent in ("human", "assistant"))
    own = {name for name in human if name.partition("/")[0] == "theta"}
    assert own
    assert not {name for name in assistant if name.partition("/")[0] in {"theta", "felt"}}


def test_what_is_felt() -> None:
    """Someone who does not know theta is shown what the last turn felt like instead."""
    env = interop.parallel_env(bandit.make(2, 5), own=("felt",))
    seen, _ = env.reset(seed=0, options={"theta": np.array([1.0, 0.0], np.float32)})
    assert "theta" not in seen["human"]
    felt = []
    for _ in range(5):
        for actions in ({"human": 1, "assistant": 0}, {"human": 0, "assistant": 1}):
            seen, *_ = env.step(actions)
            felt.append(float(seen["human"]["felt"]))
    assert felt == [0.0, 1.0] * 5
    assert "felt" not in seen["assistant"]


# Many at once.


@pytest.mark.parametrize("name", ["two-edits", "tasting"])
def test_batch_is_as_many_single_ones(name: str) -> None:
    """Number for number what Gymnasium's own vectoriser makes of single environments, new episodes included."""
    batch = interop.vector_env(problem(name), 3)
    apart = gymnasium.vector.SyncVectorEnv([lambda: make_env(name)] * 3)
    assert batch.observation_space == apart.observation_space
    assert batch.action_space == apart.action_space
    assert batch.metadata["autoreset_mode"] == apart.metadata["autoreset_mode"]
    rng = np.random.default_rng()
    seed = int(rng.integers(1000))
    one, other = batch.reset(seed=seed), apart.reset(seed=seed)
    ended = 0
    for turn in range(40):
        assert all(same(mine, theirs) for mine, theirs in zip(one, other, strict=True)), turn
        if turn == 20:
            one, other = batch.reset(), apart.reset()
            continue
        actions = rng.integers(batch.single_action_space.n, size=3)
        one, other = batch.step(actions), apart.step(actions)
        ended += int((one[2] | one[3]).sum())
    assert ended > 3


def test_wrappers_of_others() -> None:
    flat = gymnasium.wrappers.vector.FlattenObservation(interop.vector_env(problem("two-edits"), 4))
    seen, _ = flat.reset(seed=0)
    assert seen.shape == (4, 2 + 2 + 2 + 4)
    stacked = gymnasium.wrappers.FrameStackObservation(
        gymnasium.wrappers.FlattenObservation(make_env("two-edits")), stack_size=3
    )
    assert stacked.reset(seed=0)[0].shape == (3, 10)


class Walk(Problem):
    """Not a game's: its own observation, and a note of every time it is traced."""

    note: Callable[[], None] = eqx.field(static=True)
    sees: Callable[[Array], Any] = eqx.field(static=True)

    @property
    def num_actions(self) -> int:
        return 2

    @property
    def horizon(self) -> int:
        return 4

    @property
    def discount(self) -> float:
        return 1.0

    def init(self, key: Key[Array, ""]) -> Int[Array, ""]:
        del key
        return jnp.zeros((), jnp.int32)

    def step(
        self, state: Int[Array, ""], action: Int[Array, ""], key: Key[Array, ""]
    ) -> tuple[Int[Array, ""], Float[Array, ""], Bool[Array, ""]]:
        del key
        self.note()
        return state + action, action.astype(jnp.float32), state + action >= 2

    def observe(self, state: Int[Array, ""]) -> Any:
        return self.sees(state)

    def legal(self, state: Int[Array, ""]) -> Bool[Array, "2"]:
        del state
        return jnp.ones(2, bool)


def two_leaves(state: Array) -> Any:
    return {"where": state, "deep": (state.astype(jnp.float32), (state > 0)[None])}


def test_compiled_once() -> None:
    traces = []
    note = functools.partial(traces.append, 1)
    for _ in range(3):
        env = interop.gymnasium_env(Walk(note, two_leaves))
        env.reset(seed=0)
        env.step(1)
        env.step(0)
    assert len(traces) == 1


def test_leaves_of_any_problem() -> None:
    """Names say the way, types stay as they are, and where nothing is known the bounds are the type's."""
    env = interop.gymnasium_env(Walk(lambda: None, two_leaves))
    assert env.observation_space == gymnasium.spaces.Dict(
        {
            "where": gymnasium.spaces.Box(-(2**31), 2**31 - 1, (), np.int32),
            "deep/0": gymnasium.spaces.Box(-np.inf, np.inf, (), np.float32),
            "deep/1": gymnasium.spaces.Box(0, 1, (1,), np.bool_),
        }
    )
    seen, _ = env.reset(seed=0)
    assert env.observation_space.contains(seen)
    assert env.step(1)[1:4] == (1.0, False, False)
    seen, *rest, _ = env.step(1)
    assert rest == [1.0, True, False]
    assert (seen["where"], seen["deep/0"], seen["deep/1"].tolist()) == (2, 2.0, [True])
    seen["where"][...] = 7  # copies, so that a replay buffer may keep them
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(0)


# What is refused.


def test_refusals() -> None:
    env = make_env("two-edits")
    with pytest.raises(gymnasium.error.ResetNeeded, match="call reset first"):
        interop.gymnasium_env(problem("two-edits")).step(0)
    env.reset(seed=0)
    for action in (-1, 5, 1.0, [1], None, "1"):
        with pytest.raises(ValueError, match=r"action is .*(whole numbers|there are 5, from 0 to 4)"):
            env.step(action)
    assert env.step(np.int64(4))[1] in (-1.0, 0.0, 1.0, 2.0)
    with pytest.raises(ValueError, match="render mode is 'human'; here there is none"):
        make_env("two-edits", "human")
    assert env.render() is None
    pair = interop.parallel_env(load("two-edits"))
    pair.reset(seed=0)
    with pytest.raises(ValueError, match="no action for assistant"):
        pair.step({"human": 0})
    with pytest.raises(ValueError, match="The action is 9"):
        pair.step({"human": 0, "assistant": 9})
    with pytest.raises(ValueError, match=r"theta has shape \(3,\); the game's has \(2,\)"):
        pair.reset(options={"theta": np.zeros(3, bool)})
    with pytest.raises(ValueError, match="can be theta and felt"):
        interop.parallel_env(load("two-edits"), own=("mood",))
    batch = interop.vector_env(problem("two-edits"), 2)
    with pytest.raises(gymnasium.error.ResetNeeded):
        batch.step([0, 0])
    batch.reset(seed=0)
    with pytest.raises(ValueError, match=r"whole numbers of shape \(2,\)"):
        batch.step([0, 0, 0])
    with pytest.raises(ValueError, match="The action is 5; there are 5"):
        batch.step([0, 5])
    with pytest.raises(ValueError, match="at least one environment"):
        interop.vector_env(problem("two-edits"), 0)
    for sees, sentence in (
        (lambda state: None, "empty"),
        (lambda state: {"dice": jax.random.key(0)}, "observation's dice has type key"),
        (lambda state: {"a": {"b": state}, "a/b": state}, "same name"),
    ):
        with pytest.raises(ValueError, match=sentence):
            interop.gymnasium_env(Walk(lambda: None, sees))
    with pytest.raises(ValueError, match=r"What is legal has shape \(3,\), but there are 2 actions"):
        spaces.flat_legal(jnp.ones(3, bool), 2)


def test_registered_names() -> None:
    assert {f"tacit/{name}-v0" for name in GAMES} <= set(gymnasium.registry)
    env = gymnasium.make("tacit.app.interop:tacit/two-edits-v0", human="myopic")
    env.reset(seed=0)
    assert env.step(0)[0]["time"] == 1
    batch = gymnasium.make_vec("tacit/two-edits-v0", 2, vectorization_mode="vector_entry_point", human="myopic")
    assert batch.reset(seed=0)[0]["cells"].shape == (2, 2)
    with pytest.raises(ValueError, match="Say who plays the human"):
        gymnasium.make("tacit/two-edits-v0")
    with pytest.raises(ValueError, match="no human called 'myopia'"):
        gymnasium.make("tacit/two-edits-v0", human="myopia")


@pytest.mark.parametrize("package", ["gymnasium", "pettingzoo"])
def test_without_the_extra(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence that says what to install."""
    for module in [name for name in sys.modules if name.startswith("tacit.app.interop")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError) as missing:
        importlib.import_module("tacit.app.interop")
    sentence = f"tacit.app.interop needs {package}: run `uv sync --extra interop`, or pip install 'tacit[interop]'."
    assert str(missing.value) == sentence


def test_page_runs() -> None:
    names: dict[str, Any] = {}
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
