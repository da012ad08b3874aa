"""Who stands in AssistanceZero's table, what does each of them learn, and how do they then play?

The order is that of the table: the algorithm and those who learn nothing here; at a smaller budget the algorithm again,
its rivals, and the algorithm with one thing left out.
"""

import dataclasses
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from tacit.assistants import assistancezero, oracle
from tacit.assistants.assistancezero import NUM_CANDIDATES, PLAYING, SURELY, AssistanceZero, Foresight, Skill
from tacit.assistants.greedy import Greedy, Knowledge, Thoughts
from tacit.assistants.greedy import Skill as Reader
from tacit.assistants.intuition import Intuition
from tacit.assistants.oracle import Oracle
from tacit.beliefs.voxels import VoxelBelief
from tacit.core import Assistant, Human
from tacit.evaluation.metrics import marginal_prior
from tacit.games import building_small
from tacit.games.building import history
from tacit.games.building.actions import EditLogits, certain
from tacit.games.building.game import BuildingGame, Observation
from tacit.games.building.history import History
from tacit.humans import builder
from tacit.learning.goals import NARROW
from tacit.learning.lessons import Lessons, LessonTrainer, Losses, Network, Task
from tacit.learning.networks import CounselNetwork, VoxelNetwork
from tacit.members import find
from tacit.planning.tree_policies import Gumbel, Puct, TreePolicy, by_returns
from tacit.planning.tree_search import Config as Search


@dataclasses.dataclass(frozen=True)
class Budget:
    """For how many rounds each learns, and what else of all their schedules is not as it is in their recipes.

    The main row is the whole recipe. The others have about as long as each other: a round with a search takes longest,
    and one of imitation is the shortest. `belief`: for whom the learned belief is learned anew, as by its recipe.
    """

    main: int = 40
    search: int = 16
    ppo: int = 36
    imitation: int = 40
    belief: int = 40
    schedule: Mapping[str, int] = dataclasses.field(default_factory=dict)


DEEP = Search(num_simulations=64, max_depth=16)
"""Four times as much search."""
FEW = dataclasses.replace(SURELY, num_considered=4)
SOME = dataclasses.replace(SURELY, num_considered=8)
"""Where fewer first choices are tried, each is followed further."""
PLAIN = Puct(transform=by_returns, noise_share=0.0, temperature=0.0)
"""The tree policy of the paper, without noise."""
TOLD = 50.0
"""Log-likelihood of what is told for certain."""

Others = Callable[[str], Any]
"""The network that another learner ended with, by the learner's name, for the same seed."""
Learner = Callable[[Budget, int, Others], LessonTrainer]
"""Makes a training, with this seed."""
Play = Callable[[BuildingGame, Human, Skill], Assistant]
"""Makes who plays, from the game to practise on, the person and what was learned."""


class Row(NamedTuple):
    """Whose skill it plays with (None: the learned belief, with heads that were not trained), and how. `yardstick`: the
    row from which it differs in one thing or, for a rival, the algorithm at the short budget. `once`: with the first
    seed only, for the time that it takes.
    """

    learner: str | None
    play: Play
    yardstick: str | None = None
    once: bool = False


def recipe(name: str) -> ModuleType:
    """A file of `tacit.recipes`."""
    return find("tacit.recipes", name).load()


def untrained() -> Skill:
    """What all but one start from: the learned belief, and policy and value heads that say 0."""
    return assistancezero.untrained(building_small.make("train"))


def scheduled(config: Any, num_rounds: int, budget: Budget) -> Any:
    """A recipe's config with this many rounds."""
    return dataclasses.replace(config, num_rounds=num_rounds, patience=num_rounds, **budget.schedule)


def whole(budget: Budget, seed: int, others: Others) -> LessonTrainer:
    """The recipe as it is."""
    del seed, others
    small = recipe("assistancezero-small")
    return small.trainer(scheduled(small.CONFIG, budget.main, budget))


def shortened(budget: Budget, **changed: float) -> LessonTrainer:
    """The recipe at the smaller budget, with other weights of its losses."""
    small = recipe("assistancezero-small")
    return small.trainer(dataclasses.replace(scheduled(small.CONFIG, budget.search, budget), **changed))


def by_trying(budget: Budget, seed: int, others: Others) -> LessonTrainer:
    """PPO."""
    del seed, others
    made = recipe("ppo")
    return made.trainer(scheduled(made.Config(), budget.ppo, budget))


def by_imitation(budget: Budget, seed: int, others: Others) -> LessonTrainer:
    """Imitation of people who build alone."""
    del seed, others
    made = recipe("pretrained")
    return made.trainer(scheduled(made.Config(), budget.imitation, budget))


def by_fine_tuning(budget: Budget, seed: int, others: Others) -> LessonTrainer:
    """From there, imitation of a helper who knows the house."""
    del seed
    made = recipe("sft")
    return made.trainer(scheduled(made.Config(), budget.imitation, budget), others(STARTS_FROM["sft"]))


def without_memory(budget: Budget, seed: int, others: Others) -> LessonTrainer:
    """The network sees the present world alone, and no history."""
    del seed, others
    trainer = shortened(budget)
    return dataclasses.replace(trainer, source=dataclasses.replace(trainer.source, recall=nothing))


def nothing(past: History) -> History:
    """Nothing of the past."""
    return jax.tree.map(jnp.zeros_like, past)


def verbatim(budget: Budget, seed: int, others: Others) -> LessonTrainer:
    """Every lesson is told as it was."""
    del seed, others
    trainer = shortened(budget)
    return dataclasses.replace(trainer, task=Verbatim(trainer.task))


class Verbatim(Task):
    """A task whose lessons are told in no other words."""

    task: Task

    def begin(self, key: Key[Array, ""]) -> Network:
        """The task's."""
        return self.task.begin(key)

    def losses(self, network: Network, lessons: Lessons) -> Losses:
        """The task's."""
        return self.task.losses(network, lessons)

    def compared(self, fit: Losses) -> Float[Array, ""] | None:
        """The task's."""
        return self.task.compared(fit)

    def reword(self, lessons: Lessons, key: Key[Array, ""]) -> Lessons:
        """The lessons as they are."""
        del key
        return lessons


def from_nothing(budget: Budget, seed: int, others: Others) -> LessonTrainer:
    """From a network of the same size, drawn anew, that knows houses as they are on average; it learns faster."""
    del others
    trainer, game = shortened(budget, learning_rate=0.01), building_small.make("train")
    sizes, prior = untrained().network.voxels.sizes, marginal_prior(game, jax.random.key(0))
    voxel_key, head_key = jax.random.split(jax.random.key(seed))
    start = CounselNetwork(VoxelNetwork(sizes, prior, voxel_key), head_key)
    return eqx.tree_at(lambda trainer: trainer.task.start, trainer, start)


def beside_builders(budget: Budget, seed: int, others: Others) -> LessonTrainer:
    """Beside scripted builders alone, not beside people who plan and act as people were recorded to act."""
    del seed, others
    person = builder.make(building_small.make("train"))
    return eqx.tree_at(lambda trainer: trainer.source.helped.human, shortened(budget), person)


def narrow_belief(budget: Budget, seed: int, others: Others) -> LessonTrainer:
    """The learned belief, in a network that is cheaper to ask."""
    del seed, others
    return recipe("belief-small").trainer(scheduled(NARROW, budget.belief, budget))


def narrow(budget: Budget, seed: int, others: Others) -> LessonTrainer:
    """From there, the recipe at the smaller budget."""
    start = CounselNetwork(others(STARTS_FROM["narrow-network"]), jax.random.key(seed))
    return eqx.tree_at(lambda trainer: trainer.task.start, shortened(budget), start)


LEARNERS: dict[str, Learner] = {
    "assistancezero": whole,
    "assistancezero-short": lambda budget, seed, others: shortened(budget),
    "ppo": by_trying,
    "pretrained": by_imitation,
    "sft": by_fine_tuning,
    "no-previous-goal-kl": lambda budget, seed, others: shortened(budget, before=0.0),
    "no-recurrence": without_memory,
    "no-augmentation": verbatim,
    "no-warm-start": from_nothing,
    "wrong-human": beside_builders,
    "narrow-belief": narrow_belief,
    "narrow-network": narrow,
}

STARTS_FROM = {"sft": "pretrained", "narrow-network": "narrow-belief"}
"""Whose network a learner goes on from."""


def member(name: str) -> Play:
    """An assistant that comes with tacit."""
    return lambda game, human, skill: find("tacit.assistants", name).load().make(game, human)


def searching(
    policy: TreePolicy = SURELY, config: Search = PLAYING, **foresight: Any
) -> Callable[[BuildingGame, Human, Skill], AssistanceZero]:
    """Searches before it acts; `foresight`: what is otherwise in what it looks ahead with."""
    return lambda game, human, skill: AssistanceZero(Foresight(game, skill, **foresight), policy, config)


def greedily(game: BuildingGame, human: Human, skill: Skill) -> Greedy:
    """Does what looks best now."""
    del human
    return Greedy(game, Reader(skill.network.voxels, skill.threshold))


def thinking(game: BuildingGame, human: Human, skill: Skill) -> Intuition:
    """Does what comes to mind."""
    del human
    return Intuition(game, skill)


def advised(game: BuildingGame, human: Human, skill: Skill) -> Intuition:
    """Does what comes to mind, of what a search would have considered."""
    del human
    return Intuition(game, skill, num_candidates=NUM_CANDIDATES)


def forgetting(game: BuildingGame, human: Human, skill: Skill) -> Assistant:
    """Searches from what it sees now."""
    return Forgetful(searching(recall=nothing)(game, human, skill))


class Forgetful(Assistant):
    """Searches from the present world alone, and remembers no correction either."""

    searcher: AssistanceZero

    def init(self, key: Key[Array, ""]) -> Knowledge:
        """The searcher's."""
        return self.searcher.init(key)

    def logits(self, memory: Knowledge, observation: Observation, key: Key[Array, ""]) -> tuple[EditLogits, Knowledge]:
        """Forget all, look, and search."""
        past = nothing(memory.history)
        heads = self.searcher.foresight.skill.network.voxels(*history.view(past, observation))
        unsaid: Float[Array, "X Y Z M"] = jnp.zeros_like(heads.goal)
        memory = Knowledge(VoxelBelief(heads.goal, unsaid), past, observation, heads)
        game, action = self.searcher.foresight.game, self.searcher.consider(memory, key).action[0]
        return certain(action, game.num_kinds, game.num_cells), memory

    def thoughts(self, memory: Knowledge) -> Thoughts:
        """What each cell probably should be."""
        return self.searcher.thoughts(memory)


class Planner(Oracle):
    """Searches, and is told the house."""

    searcher: AssistanceZero

    def init(self, key: Key[Array, ""]) -> Any:
        """The searcher's memory, told the house."""
        return self.searcher.tell(self.searcher.init(key), TOLD * jax.nn.one_hot(self.theta, self.num_kinds))

    def logits(self, memory: Any, observation: Observation, key: Key[Array, ""]) -> tuple[EditLogits, Any]:
        """The searcher's."""
        return self.searcher.logits(memory, observation, key)


def planning(policy: TreePolicy, config: Search) -> Callable[[BuildingGame, Human, Skill], Planner]:
    """Knows the house and searches."""

    def play(game: BuildingGame, human: Human, skill: Skill) -> Planner:
        told = oracle.make(game, human)
        return Planner(told.theta, told.num_kinds, searching(policy, config)(game, human, skill))

    return play


ROWS = {
    "assistancezero": Row("assistancezero", searching()),
    "greedy": Row(None, member("greedy")),
    "none": Row(None, member("none")),
    "random": Row(None, member("random")),
    "oracle": Row(None, member("oracle")),
    "particles": Row(None, member("particles")),
    "greedy-on-its-belief": Row("assistancezero", greedily, "assistancezero"),
    "fewer-choices": Row("assistancezero", searching(FEW), "assistancezero", once=True),
    "deep-search": Row("assistancezero", searching(SOME, DEEP), "assistancezero", once=True),
    "oracle-deep-search": Row("assistancezero", planning(SOME, DEEP), "oracle", once=True),
    "assistancezero-short": Row("assistancezero-short", searching()),
    "ppo": Row("ppo", thinking, "assistancezero-short"),
    "pretrained": Row("pretrained", thinking, "assistancezero-short"),
    "sft": Row("sft", thinking, "assistancezero-short"),
    "no-search-at-play": Row("assistancezero-short", advised, "assistancezero-short"),
    "search-at-play-only": Row(None, searching()),
    "puct": Row(None, searching(policy=PLAIN), "search-at-play-only"),
    "full-spread": Row(None, searching(policy=Gumbel(scale=0.0)), "search-at-play-only"),
    "no-targets": Row(None, searching(targets=False), "search-at-play-only"),
    "full-precision": Row(None, searching(compressed=False), "search-at-play-only"),
    "no-previous-goal-kl": Row("no-previous-goal-kl", searching(), "assistancezero-short"),
    "no-recurrence": Row("no-recurrence", forgetting, "assistancezero-short"),
    "no-augmentation": Row("no-augmentation", searching(), "assistancezero-short"),
    "no-warm-start": Row("no-warm-start", searching(), "assistancezero-short"),
    "wrong-human": Row("wrong-human", searching(), "assistancezero-short"),
    "narrow-network": Row("narrow-network", searching(), "assistancezero-short"),
}
