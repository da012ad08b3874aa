"""Does everything that the folders list keep the contracts of core? A new file is tested with no other edit.

Each game is checked alone, each human in every game that it fits, each assistant in every game beside the first human
that it fits. A member that does not fit a game says so in one sentence.
"""

import functools
from collections.abc import Iterator

import jax
import pytest
from jaxtyping import Array, Key

from tacit.contracts import check_assistant, check_game, check_human, check_question
from tacit.core import HUMAN, Assistant, Game, Human, Logits, Observation, Theta
from tacit.members import find, members

KEY = jax.random.key(20)
SAME_RULES = {"building-paper"}
"""The rules of a listed game in a larger world: nothing new to check, and a minute to compile."""

GAMES, HUMANS, ASSISTANTS, KINDS = (
    [member.name for member in members(f"tacit.{folder}") if member.name not in SAME_RULES]
    for folder in ("games", "humans", "assistants", "feedback")
)
NUM_TURNS = 12


@pytest.fixture(autouse=True, scope="module")
def compile_quickly() -> Iterator[None]:
    """Little is played here and much compiled."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@functools.cache
def load(game: str) -> Game:
    return find("tacit.games", game).load().make()


@functools.cache
def meet(game: str, human: str) -> Human | None:
    try:
        return find("tacit.humans", human).load().make(load(game))
    except ValueError as refusal:
        require_sentence(refusal)
        return None


@functools.cache
def hire(game: str, human: str, assistant: str) -> Assistant | None:
    try:
        return find("tacit.assistants", assistant).load().make(load(game), meet(game, human))
    except ValueError as refusal:
        require_sentence(refusal)
        return None


class Anyone(Human):
    """Stands in for a building game's person, who takes a minute to compile and is checked on its own."""

    even: Logits

    def init(self, key: Key[Array, ""]) -> None:
        del key

    def logits(self, theta: Theta, memory: None, observation: Observation, key: Key[Array, ""]) -> tuple[Logits, None]:
        del theta, observation, key
        return self.even, memory


def people(game: str) -> list[str]:
    return [human for human in HUMANS if meet(game, human) is not None]


def require_sentence(refusal: ValueError) -> None:
    text = str(refusal)
    assert text[:1].isupper(), text
    assert text.endswith("."), text
    assert "\n" not in text, text
    assert "://" not in text, text  # an error of JAX's, not a refusal


@pytest.mark.parametrize("game", GAMES)
def test_game(game: str) -> None:
    assert people(game), "no listed human fits this game"
    check_game(load(game), KEY)


@pytest.mark.parametrize("human", HUMANS)
def test_human(human: str) -> None:
    fitting = [game for game in GAMES if human in people(game)]
    assert fitting, "this human fits no listed game"
    for game in fitting:
        check_human(load(game), meet(game, human), KEY)


@pytest.mark.parametrize("assistant", ASSISTANTS)
def test_assistant(assistant: str) -> None:
    fitting = {}
    for game in GAMES:
        for human in people(game):
            if game not in fitting and hire(game, human, assistant) is not None:
                fitting[game] = human
    assert fitting, "this assistant fits no listed game and human"
    for game, human in fitting.items():
        person = meet(game, human)
        if human == "builder":
            person = Anyone(load(game).indifferent(HUMAN))
        check_assistant(load(game), person, hire(game, human, assistant), KEY, NUM_TURNS)


@pytest.mark.parametrize("kind", KINDS)
def test_feedback(kind: str) -> None:
    check_question(*find("tacit.feedback", kind).load().example(KEY))
