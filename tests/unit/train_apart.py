"""A program that trains, alone or as one of several processes, and prints the numbers of every round.

What it trains is tiny: the line of `line_lessons`, or AssistanceZero from its own searches beside builders.
"""

import argparse
import json

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from tacit.assistants.assistancezero import EXPLORING, untrained
from tacit.games import building_small
from tacit.humans import builder
from tacit.learning.counsel import Advice, Config
from tacit.learning.devices import whole
from tacit.learning.lessons import LessonTrainer
from tacit.planning.tree_search import Config as Search
from tacit.recipes.assistancezero_small import SearchedBuilding
from tacit.recipes.belief_small import HelpedBuilding
from tacit.storage import load_checkpoint, save_checkpoint
from tests.unit import line_lessons

NUM_SHOWN = 12
SEARCHED = Config(
    num_rounds=2, num_updates=2, num_kept=2, num_worlds=8, num_held_out=2, batch=8, learning_rate=0.001, warm_up=1
)


def line(seed: int) -> LessonTrainer:
    """The smallest training there is."""
    return line_lessons.trainer(seed=seed)


def assistancezero(seed: int) -> LessonTrainer:
    """AssistanceZero's, with few worlds, turns and simulations."""
    del seed
    game = building_small.make("train")
    start = untrained(game)
    helped = HelpedBuilding(game=game, human=builder.make(game), unhelped=0.0)
    source = SearchedBuilding(
        helped=helped, threshold=start.threshold, policy=EXPLORING, config=Search(4, 2), num_moments=2, every=1
    )
    return LessonTrainer(
        SEARCHED, source, Advice(SEARCHED, start.network, game.num_kinds), lambda network: (network, {})
    )


def shown(network: PyTree[Array]) -> list[float]:
    """The first weights of each array."""
    return [float(weight) for leaf in jax.tree.leaves(network) for weight in jnp.ravel(leaf)[:NUM_SHOWN]]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("line", "assistancezero"))
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--others", help="the coordinator, how many processes there are and which this is")
    parser.add_argument("--save", help="where the first process writes the state after two rounds")
    parser.add_argument("--resume", help="a file to go on from, after two rounds")
    chosen = parser.parse_args()
    if chosen.others:
        coordinator, number, which = chosen.others.split(",")
        jax.distributed.initialize(coordinator, int(number), int(which))
    teacher = {"line": line, "assistancezero": assistancezero}[chosen.what](chosen.seed)
    state, rounds = teacher.init(jax.random.key(chosen.seed)), []
    if chosen.resume:
        state = load_checkpoint(chosen.resume, state)
    for number in range(2 if chosen.resume else 0, teacher.num_rounds):
        state, numbers = teacher.advance(state)
        rounds.append({name: float(value) for name, value in numbers.items()})
        if chosen.save and number == 1:
            kept = whole(state)
            if jax.process_index() == 0:
                save_checkpoint(chosen.save, kept, {})
    network, _ = teacher.release(state)
    print(json.dumps({"devices": len(jax.devices()), "rounds": rounds, "weights": shown(network)}))


if __name__ == "__main__":
    main()
