"""ChefWorld: two cooks fill one pot, and only the human knows the recipe.

Every turn each cook adds one ingredient or waits, both at once. After the last turn the dish is worth 1 if the pot
holds exactly what the recipe (theta) asks for. What the human adds first can tell the recipe, if the assistant knows
that it is meant to. After Malik et al. 2018, arXiv 1806.03820, section 5.
"""

import itertools

import numpy as np

from tacit.arrays import Numbers, numbers
from tacit.games.tabular import TabularGame

WAIT = 0
"""Action 0 waits; action 1 + i adds ingredient i."""

MAX_NUMBERS = 20_000_000
"""The most transitions that the game may hold."""


def pots(num_ingredients: int, num_turns: int) -> list[tuple[int, tuple[int, ...]]]:
    """Every turn with every pot there can be by then; the state in which the dish is served comes after these."""
    return [
        (turn, pot)
        for turn in range(num_turns)
        for pot in itertools.product(range(2 * turn + 1), repeat=num_ingredients)
        if sum(pot) <= 2 * turn
    ]


def make(recipes: Numbers = ((3, 1), (2, 2), (1, 3)), num_turns: int = 2) -> TabularGame:
    """The game of these recipes, each as likely: `recipes[n][i]` is how much of ingredient i the n-th asks for."""
    wanted = numbers("recipes", recipes, 2)
    wrong = (wanted < 0) | (wanted != np.round(wanted))
    if wrong.any():
        where = [int(index) for index in np.argwhere(wrong)[0]]
        raise ValueError(f"recipes{where} is {wanted[wrong][0]:g}; it must be a count.")
    if num_turns < 1:
        raise ValueError(f"num_turns is {num_turns}; there must be at least one turn.")
    ingredients = wanted.shape[1]
    places = pots(ingredients, num_turns)
    number = {place: index for index, place in enumerate(places)}
    served, actions = len(places), ingredients + 1
    if (served + 1) ** 2 * actions**2 > MAX_NUMBERS:
        raise ValueError(
            f"{ingredients} ingredients and {num_turns} turns make {served + 1} states and more than "
            f"{MAX_NUMBERS:.2g} transitions; take fewer."
        )
    follow = np.full((served + 1, actions, actions), served)
    rewards = np.zeros((len(wanted), served + 1, actions, actions))
    adds = np.vstack([np.zeros(ingredients, int), np.eye(ingredients, dtype=int)])
    for (turn, pot), state in number.items():
        for human, assistant in itertools.product(range(actions), repeat=2):
            after = np.asarray(pot) + adds[human] + adds[assistant]
            if turn + 1 < num_turns:
                follow[state, human, assistant] = number[turn + 1, tuple(after.tolist())]
            else:
                rewards[:, state, human, assistant] = (wanted == after).all(1)
    return TabularGame(
        transitions=np.eye(served + 1)[follow],
        rewards=rewards,
        prior=np.full(len(wanted), 1.0 / len(wanted)),
        initial=np.eye(served + 1)[0],
        horizon=num_turns,
        terminal=np.arange(served + 1) == served,
    )
