"""How does a pytree look to Gymnasium? One named space for each leaf, within bounds that the game knows.

Leaves keep their own types. Names join the fields on the way with a stroke: `edits/cell`, `legal/0/place`.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import gymnasium
import jax
import numpy as np
from jaxtyping import Array, Bool, Int

from tacit.core import Game, Legal, Problem, Simulator, State
from tacit.games.bandit import NO_ARM, Bandit
from tacit.games.building.actions import EditLegal, flatten_legal
from tacit.games.building.game import ABSENT, BuildingGame, text
from tacit.games.feature_gridworld import FeatureGridworld
from tacit.games.tabular import TabularGame
from tacit.games.two_edits import NO_CELL, TwoEdits
from tacit.play import AssistantProblem

Bounds = Mapping[str, tuple[Any, Any]]
"""The lowest and the highest value of leaves by name, each one number or one for each element."""

NUMBER_KINDS = "biuf"
"""Kinds of NumPy type that a space can hold: bool, int, unsigned int, float."""


def named(tree: Any) -> dict[str, Any]:
    """The leaves of a pytree by name; one that is all there is, is called `observation`."""
    if jax.tree_util.all_leaves([tree]):
        return {"observation": tree}
    paths = jax.tree_util.tree_leaves_with_path(tree)
    # A stroke, not a dot: PyTorch takes no dot in the name of a layer, and some libraries make one of each name.
    leaves = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in paths}
    if len(leaves) < len(paths):
        raise ValueError(f"Two leaves of an observation have the same name; the names are {', '.join(leaves)}.")
    return leaves


def dict_space(leaves: Mapping[str, Any], bounds: Bounds) -> gymnasium.spaces.Dict:
    """The space of named leaves, given by their shapes and types."""
    if not leaves:
        raise ValueError("This observation is empty; Gymnasium has no space for seeing nothing.")
    return gymnasium.spaces.Dict({name: leaf_space(name, leaf, bounds.get(name)) for name, leaf in leaves.items()})


def leaf_space(name: str, leaf: Any, bounds: tuple[Any, Any] | None) -> gymnasium.Space:
    """A `Discrete` for a bounded whole number, else a `Box`; without bounds, of all that the type can hold."""
    # A random key has a type of JAX's own.
    kind = np.dtype(leaf.dtype) if isinstance(leaf.dtype, np.dtype) else None
    if kind is None or kind.kind not in NUMBER_KINDS:
        raise ValueError(f"The observation's {name} has type {leaf.dtype}; Gymnasium takes bool, int and float.")
    if bounds is not None and not leaf.shape and kind.kind in "iu":
        low, high = (int(bound) for bound in bounds)
        return gymnasium.spaces.Discrete(high - low + 1, start=low)
    low, high = dtype_range(kind) if bounds is None else bounds
    low, high = (np.broadcast_to(np.asarray(bound, kind), leaf.shape).copy() for bound in (low, high))
    return gymnasium.spaces.Box(low, high, leaf.shape, kind.type)


def dtype_range(kind: np.dtype) -> tuple[Any, Any]:
    """The least and the greatest number of a type."""
    if kind.kind == "f":
        return -np.inf, np.inf
    return (False, True) if kind.kind == "b" else (np.iinfo(kind).min, np.iinfo(kind).max)


def values(space: gymnasium.spaces.Dict, leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Those leaves that the space holds: copies, which whoever gets them may write to."""
    copies = {name: np.array(leaves[name], part.dtype) for name, part in space.spaces.items()}
    return {
        name: copy[()] if isinstance(space[name], gymnasium.spaces.Discrete) else copy for name, copy in copies.items()
    }


@functools.singledispatch
def bounds(seen: Game | Problem, player: int) -> Bounds:
    """What the leaves of a player's observation, and of `theta`, lie between; the rest is bounded by its type.

    For a game of your own: `bounds.register(YourGame, lambda game, player: {"time": (0, game.horizon)})`.
    """
    del seen, player
    return {}


@bounds.register
def _(problem: AssistantProblem, player: int) -> Bounds:
    return bounds(problem.game, player)


@bounds.register
def _(problem: Simulator, player: int) -> Bounds:
    del player
    return {"observation": (0, problem.num_observations - 1)}


@bounds.register
def _(game: TabularGame, player: int) -> Bounds:
    return _clocked(game) | {
        "seen": (0, int(game.arrays.sees[player].max())),
        "theta": (0, len(game.arrays.prior) - 1),
    }


@bounds.register
def _(game: TwoEdits, player: int) -> Bounds:
    del player
    return _clocked(game) | {"changed": (NO_CELL, game.num_cells - 1)}


@bounds.register
def _(game: Bandit, player: int) -> Bounds:
    del player
    arms = (NO_ARM, game.num_arms - 1)
    return _clocked(game) | {"requested": arms, "pulled": arms, "theta": (0.0, 1.0)}


@bounds.register
def _(game: FeatureGridworld, player: int) -> Bounds:
    del player
    return _clocked(game) | {"cell": (0, len(game.follow) - 1), "theta": (-1.0, 1.0)}


@bounds.register
def _(game: BuildingGame, player: int) -> Bounds:
    del player
    kinds = (0, game.num_kinds - 1)
    return _clocked(game) | {
        "blocks": kinds,
        "touched": (0, 2),
        "feet": (np.array(ABSENT), np.array(game.shape) - 1),
        "edits/cell": (-1, game.num_cells - 1),
        "edits/before": kinds,
        "edits/after": kinds,
        "theta": kinds,
    }


def _clocked(game: Game) -> dict[str, tuple[Any, Any]]:
    """What nearly every game shows: the last actions and the clock."""
    return {"last_actions": (0, np.array(game.num_actions) - 1), "time": (0, game.horizon)}


@functools.singledispatch
def flat_legal(legal: Legal, num_actions: int) -> Bool[Array, " A"]:
    """Legality as one boolean for each action. For a factored form of your own: `flat_legal.register`."""
    if np.shape(legal) != (num_actions,):
        raise ValueError(
            f"What is legal has shape {np.shape(legal)}, but there are {num_actions} actions; say how one boolean for "
            "each is made of it with tacit.app.interop.spaces.flat_legal.register."
        )
    return legal


@flat_legal.register
def _(legal: EditLegal, num_actions: int) -> Bool[Array, " A"]:
    # A = 1 + M N + N + 6, see games.building.actions.
    num_kinds = (num_actions - 7) // len(legal.place) - 1
    return flatten_legal(legal, num_kinds)


def checked_actions(actions: Any, shape: tuple[int, ...], num_actions: int) -> Int[np.ndarray, "..."]:
    """Actions as JAX takes them. Raises ValueError for what is none."""
    numbers = np.asarray(actions)
    if numbers.shape != shape or numbers.dtype.kind not in "iu":
        raise ValueError(f"The action is {actions!r}; give whole numbers of shape {shape}.")
    if wrong := [number for number in numbers.ravel().tolist() if not 0 <= number < num_actions]:
        raise ValueError(f"The action is {wrong[0]}; there are {num_actions}, from 0 to {num_actions - 1}.")
    return numbers.astype(np.int32)


class Drawer(NamedTuple):
    """How a game is rendered: in which modes, and how a world looks."""

    modes: tuple[str, ...] = ()
    draw: Callable[[State], str] = lambda world: ""

    def metadata(self) -> dict[str, Any]:
        """What Gymnasium and PettingZoo ask for."""
        return {"render_modes": list(self.modes), "render_fps": 4}

    def checked(self, render_mode: str | None) -> str | None:
        """A way of rendering. Raises ValueError for one that there is not."""
        if render_mode is not None and render_mode not in self.modes:
            raise ValueError(f"The render mode is {render_mode!r}; here there is {' and '.join(self.modes) or 'none'}.")
        return render_mode


@functools.singledispatch
def drawer(seen: Game | Problem) -> Drawer:
    """Whether, and how, states of a game or problem can be rendered."""
    del seen
    return Drawer()


@drawer.register
def _(game: BuildingGame) -> Drawer:
    del game
    return Drawer(("ansi",), lambda world: text(world.blocks, world.feet))


@drawer.register
def _(problem: AssistantProblem) -> Drawer:
    inner = drawer(problem.game)
    return inner._replace(draw=lambda state: inner.draw(state.world))
