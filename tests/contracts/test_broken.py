"""Is a broken member caught? One for each contract, each a small change to one that passes.

`Lamp` is a game in which the human wants a lamp on or off, either player may toggle it, and every verb can be broken.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tacit.beliefs.exact import ExactBelief
from tacit.beliefs.particles import ParticleBelief
from tacit.contracts import check_assistant, check_belief, check_game, check_human, check_question, players
from tacit.core import Assistant, Game, Human, Question

KEY = jax.random.key(3)
COUNTER = itertools.count()


class Lamp(Game):
    """The state is whether the lamp is on, and how many turns have passed. Only one who may toggles it, in turn."""

    @property
    def num_actions(self):
        return 2, 2

    @property
    def horizon(self):
        return 5

    @property
    def discount(self):
        return 0.9

    def sample_theta(self, key):
        return jax.random.bernoulli(key)

    def init(self, key):
        return jax.random.bernoulli(key), jnp.zeros((), jnp.int32)

    def step(self, state, actions, key):
        legal = jnp.stack([part[action] for part, action in zip(self.legal(state), actions, strict=True)])
        return state[0] ^ jnp.any(legal & (actions == 1)), state[1] + 1

    def reward(self, theta, state, actions, next_state):
        return jnp.where(theta == next_state[0], jnp.array([1.0, 0.5]), 0.0)

    def observe(self, state):
        return state, state

    def legal(self, state):
        even = state[1] % 2 == 0
        return jnp.stack([jnp.ones((), bool), even]), jnp.stack([jnp.ones((), bool), ~even])

    def finished(self, theta, state):
        return state[1] >= 3


class Peeks(Lamp):
    def observe(self, state, theta=None):
        return state, state


class PeeksAtStart(Lamp):
    def init(self, key, theta=None):
        return super().init(key)


class OneReward(Lamp):
    def reward(self, theta, state, actions, next_state):
        return super().reward(theta, state, actions, next_state).sum()


class InfiniteReward(Lamp):
    def reward(self, theta, state, actions, next_state):
        return super().reward(theta, state, actions, next_state) / jnp.where(state[1] > 1, 0.0, 1.0)


class GrowingState(Lamp):
    def step(self, state, actions, key):
        lamp, time = super().step(state, actions, key)
        return lamp.astype(jnp.float32), time


class IllegalWorks(Lamp):
    def step(self, state, actions, key):
        return state[0] ^ jnp.any(actions == 1), state[1] + 1


class NothingLegal(Lamp):
    def legal(self, state):
        human, assistant = super().legal(state)
        return human, assistant & (state[1] < 2)


class Stateful(Lamp):
    def step(self, state, actions, key):
        return state[0] ^ bool(next(COUNTER) % 2), state[1] + 1


class NoDiscount(Lamp):
    @property
    def discount(self):
        return 1.5


class NoTurns(Lamp):
    @property
    def horizon(self):
        return 0


class OtherSampling(Lamp):
    def sample(self, logits, legal, key):
        return super().sample(0.5 * logits, legal, key)


class Unnormalised(Lamp):
    def log_prob(self, logits, legal, action):
        return jnp.where(legal, logits, -jnp.inf)[action]


class OneObservation(Lamp):
    def observe(self, state):
        return [state]


class Wisher(Human):
    """Toggles the lamp if it is not as wanted, mostly; remembers how often it looked."""

    def init(self, key):
        return jnp.zeros((), jnp.int32)

    def logits(self, theta, memory, observation, key):
        return jnp.stack([jnp.zeros(()), jnp.where(observation[0] == theta, -2.0, 2.0)]), memory + 1


class Undecided(Wisher):
    def logits(self, theta, memory, observation, key):
        logits, memory = super().logits(theta, memory, observation, key)
        return jnp.where(memory > 2, jnp.nan, logits), memory


class Paralysed(Wisher):
    def logits(self, theta, memory, observation, key):
        logits, memory = super().logits(theta, memory, observation, key)
        return jnp.where(memory > 2, -jnp.inf, logits), memory


class Moody(Wisher):
    """Draws its mood beside its action, so that its logits are not its likelihood."""

    def logits(self, theta, memory, observation, key):
        logits, memory = super().logits(theta, memory, observation, key)
        return logits * jax.random.uniform(key), memory


class Forgetful(Wisher):
    def logits(self, theta, memory, observation, key):
        logits, memory = super().logits(theta, memory, observation, key)
        return logits, memory.astype(jnp.float32)


class FeelsTooMuch(Wisher):
    def feel(self, memory, observation, felt):
        return memory, felt


class Watcher(Assistant):
    """Toggles half the time, and counts what it saw."""

    def init(self, key):
        return jnp.zeros(())

    def logits(self, memory, observation, key):
        return jnp.zeros(2), memory + observation[0].astype(jnp.float32)

    def thoughts(self, memory):
        return memory / 2.0


class Lost(Watcher):
    def logits(self, memory, observation, key):
        logits, memory = super().logits(memory, observation, key)
        return jnp.where(observation[1] > 1, jnp.nan, logits), memory


class Stuck(Watcher):
    def logits(self, memory, observation, key):
        logits, memory = super().logits(memory, observation, key)
        return jnp.where(observation[1] > 1, -jnp.inf, logits), memory


class Hoarder(Watcher):
    def logits(self, memory, observation, key):
        logits, memory = super().logits(memory, observation, key)
        return logits, (memory, observation)


class Confused(Watcher):
    def thoughts(self, memory):
        return jnp.log(memory - 1.0)


class Dreamer(Watcher):
    """Its thoughts come from outside of its memory."""

    def thoughts(self, memory):
        return jax.pure_callback(
            lambda memory: np.broadcast_to(np.float32(next(COUNTER)), np.shape(memory)),
            jax.ShapeDtypeStruct((), jnp.float32),
            memory,
            vmap_method="expand_dims",
        )


class Twice(ExactBelief):
    def update(self, log_likelihood):
        return Twice(self.hypotheses, super().update(2.0 * log_likelihood).log_weights)


class Unsummed(ExactBelief):
    def update(self, log_likelihood):
        return Unsummed(self.hypotheses, self.log_weights + log_likelihood)


class SamplesPrior(ExactBelief):
    def update(self, log_likelihood):
        return SamplesPrior(self.hypotheses, super().update(log_likelihood).log_weights)

    def sample(self, key):
        return self.hypotheses[jax.random.randint(key, (), 0, self.log_weights.size)]


class BecomesAnother(ExactBelief):
    def update(self, log_likelihood):
        return super().update(log_likelihood)


class Taste(Question):
    """Which of three numbers is nearest to theta?"""

    def values(self, theta):
        return -jnp.abs(theta - jnp.arange(3.0))


class Tasteless(Taste):
    def values(self, theta):
        return jnp.log(theta - jnp.arange(3.0))


class OneValue(Taste):
    def values(self, theta):
        return super().values(theta).sum()


class Fickle(Taste):
    def values(self, theta):
        return super().values(theta) + float(next(COUNTER))


class Curious(Taste):
    def values(self, theta, mood=0.0):
        return super().values(theta) + mood


def test_the_plain_ones_pass() -> None:
    check_game(Lamp(), KEY)
    check_human(Lamp(), Wisher(), KEY)
    check_assistant(Lamp(), Wisher(), Watcher(), KEY)
    check_question(Taste(), jnp.linspace(-1.0, 3.0, 6))


@pytest.mark.parametrize("kind", [ExactBelief, ParticleBelief])
def test_listed_beliefs_follow_bayes(kind: type) -> None:
    hypotheses = jax.random.normal(KEY, (7, 2))
    check_belief(kind(hypotheses, jax.nn.log_softmax(jax.random.normal(KEY, (7,)))), hypotheses, KEY)


@pytest.mark.parametrize(
    ("game", "message"),
    [
        (Peeks, "`observe` takes the state and nothing else"),
        (PeeksAtStart, "`init` takes the key and nothing else"),
        (OneReward, "`reward` gives"),
        (InfiniteReward, "reward is not finite"),
        (GrowingState, "state after `step`"),
        (IllegalWorks, "not legal changed the world"),
        (NothingLegal, "no legal action"),
        (Stateful, "not pure"),
        (NoDiscount, "discount is 1.5"),
        (NoTurns, "horizon is 0"),
        (OtherSampling, "not drawn as often"),
        (Unnormalised, "probabilities sum to"),
        (OneObservation, "`observe` gives a pair"),
    ],
)
def test_broken_game(game: type[Game], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_game(game(), KEY)


@pytest.mark.parametrize(
    ("human", "message"),
    [
        (Undecided, "not a number"),
        (Paralysed, "probability is 0"),
        (Moody, "depend on the key"),
        (Forgetful, "memory after `logits`"),
        (FeelsTooMuch, "memory after `feel`"),
    ],
)
def test_broken_human(human: type[Human], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_human(Lamp(), human(), KEY)


@pytest.mark.parametrize(
    ("assistant", "message"),
    [
        (Lost, "logits are not a number"),
        (Stuck, "probability is 0"),
        (Hoarder, "memory after `logits`"),
        (Confused, "thoughts are not a number"),
        (Dreamer, "Retracing"),
    ],
)
def test_broken_assistant(assistant: type[Assistant], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_assistant(Lamp(), Wisher(), assistant(), KEY)


@pytest.mark.parametrize(
    ("belief", "message"),
    [
        (Twice, "not Bayes"),
        (Unsummed, "not Bayes"),
        (SamplesPrior, "samples"),
        (BecomesAnother, "belief after `update`"),
    ],
)
def test_broken_belief(belief: type[ExactBelief], message: str) -> None:
    hypotheses = jax.random.normal(KEY, (7, 2))
    with pytest.raises(ValueError, match=message):
        check_belief(belief(hypotheses, jax.nn.log_softmax(jnp.zeros(7))), hypotheses, KEY)


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (Tasteless, "finite"),
        (OneValue, "one axis of floats"),
        (Fickle, "not pure"),
        (Curious, "takes theta and nothing else"),
    ],
)
def test_broken_question(question: type[Question], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_question(question(), jnp.linspace(-1.0, 3.0, 6))


def test_episodes_that_go_on_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = players.advance

    def goes_on(*arguments):
        last, (turns, thoughts) = plain(*arguments)
        return last, (turns._replace(rewards=turns.rewards + 1.0), thoughts)

    monkeypatch.setattr(players, "advance", goes_on)
    with pytest.raises(ValueError, match="after the end"):
        check_assistant(Lamp(), Wisher(), Watcher(), KEY)
