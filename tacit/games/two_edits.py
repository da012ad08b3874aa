"""Two edits a turn, one after the other: whose doing is what?

The building game in its smallest form: a row of cells that are full or empty, and a row that the human wants. In a turn
the human's edit is made first and the assistant's on the row as it then is, so that an edit that was legal when it was
chosen may change nothing. The state keeps what each player really changed: each is paid for that.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from tacit.core import ASSISTANT, HUMAN, Game

NO_CELL = -1


class State(NamedTuple):
    """The row, the cell that each player changed in the last turn (-1 for none), their actions and the clock."""

    cells: Bool[Array, " N"]
    changed: Int[Array, "2"]
    last_actions: Int[Array, "2"]
    time: Int[Array, ""]


class TwoEdits(Game):
    """Action 0 passes, action 1 + i empties cell i and action 1 + N + i fills it."""

    num_cells: int = eqx.field(static=True)
    num_turns: int = eqx.field(static=True)

    @property
    def num_actions(self) -> tuple[int, int]:
        """To pass, and to empty or fill each cell."""
        return 1 + 2 * self.num_cells, 1 + 2 * self.num_cells

    @property
    def horizon(self) -> int:
        """As given."""
        return self.num_turns

    @property
    def discount(self) -> float:
        """Later turns weigh the same."""
        return 1.0

    def sample_theta(self, key: Key[Array, ""]) -> Bool[Array, " N"]:
        """Draw the wanted row; every row is as likely."""
        return jax.random.bernoulli(key, shape=(self.num_cells,))

    def init(self, key: Key[Array, ""]) -> State:
        """An empty row."""
        del key
        cells, none = jnp.zeros(self.num_cells, bool), jnp.full(2, NO_CELL, jnp.int32)
        return State(cells, none, jnp.zeros(2, jnp.int32), jnp.zeros((), jnp.int32))

    def step(self, state: State, actions: Int[Array, "2"], key: Key[Array, ""]) -> State:
        """The human's edit, then the assistant's on the changed row."""
        del key
        legal = self.legal(state)
        may = jnp.stack([legal[HUMAN][actions[HUMAN]], legal[ASSISTANT][actions[ASSISTANT]]])
        taken = jnp.where(may, actions, 0)
        cells, first = self.edit(state.cells, taken[HUMAN])
        cells, second = self.edit(cells, taken[ASSISTANT])
        return State(cells, jnp.stack([first, second]), actions, state.time + 1)

    def edit(self, cells: Bool[Array, " N"], action: Int[Array, ""]) -> tuple[Bool[Array, " N"], Int[Array, ""]]:
        """The row after one edit, and the cell that it changed."""
        cell = (action - 1) % self.num_cells
        value = action > self.num_cells
        works = (action > 0) & (cells[cell] != value)
        return cells.at[cell].set(jnp.where(works, value, cells[cell])), jnp.where(works, cell, NO_CELL)

    def reward(
        self, theta: Bool[Array, " N"], state: State, actions: Int[Array, "2"], next_state: State
    ) -> Float[Array, "2"]:
        """1 for each player whose edit made a cell right, -1 if it made one wrong.

        The second edit never takes back the first: that was not legal when it was chosen. So cells are as edited.
        """
        del state, actions
        worth = jnp.where(next_state.cells[next_state.changed] == theta[next_state.changed], 1.0, -1.0)
        return jnp.where(next_state.changed == NO_CELL, 0.0, worth)

    def observe(self, state: State) -> tuple[State, State]:
        """Everything but theta is public."""
        return state, state

    def legal(self, state: State) -> tuple[Bool[Array, " A"], Bool[Array, " A"]]:
        """To pass, to empty what is full and to fill what is empty."""
        legal = jnp.concatenate([jnp.ones(1, bool), state.cells, ~state.cells])
        return legal, legal

    def finished(self, theta: Bool[Array, " N"], state: State) -> Bool[Array, ""]:
        """Whether the row is as wanted."""
        return jnp.all(state.cells == theta)


def make(num_cells: int = 2, horizon: int = 3) -> TwoEdits:
    """A row of two cells and three turns."""
    if num_cells < 1 or horizon < 1:
        raise ValueError(f"A row needs at least one cell and one turn, not {num_cells} and {horizon}.")
    return TwoEdits(num_cells, horizon)
