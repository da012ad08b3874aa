"""How do other people's algorithms play our games? Through Gymnasium and PettingZoo, which most of them speak.

`gymnasium_env(problem)` is one player's problem, `vector_env(problem, num_envs)` a batch of it, and
`parallel_env(game)` a game with both players left open. Importing this module registers every listed game with
Gymnasium, for instance "tacit/two-edits-v0". Needs the extra `interop`.
"""

try:
    import gymnasium

    from tacit.app.interop.batch import ProblemVectorEnv as ProblemVectorEnv
    from tacit.app.interop.batch import vector_env as vector_env
    from tacit.app.interop.pair import GameEnv as GameEnv
    from tacit.app.interop.pair import parallel_env as parallel_env
    from tacit.app.interop.single import ProblemEnv as ProblemEnv
    from tacit.app.interop.single import gymnasium_env as gymnasium_env
except ModuleNotFoundError as missing:
    if missing.name not in {"gymnasium", "pettingzoo"}:
        raise
    raise ModuleNotFoundError(
        f"tacit.app.interop needs {missing.name}: run `uv sync --extra interop`, or pip install 'tacit[interop]'.",
        name=missing.name,
    ) from missing

from tacit.members import find, members
from tacit.play import AssistantProblem


def named_problem(game: str, human: str | None) -> AssistantProblem:
    """The assistant's problem of a listed game beside a listed human."""
    if human is None:
        raise ValueError(f"Say who plays the human: gymnasium.make('tacit/{game}-v0', human=NAME).")
    played = find("tacit.games", game).load().make()
    return AssistantProblem(played, find("tacit.humans", human).load().make(played))


def named_env(game: str, human: str | None = None, render_mode: str | None = None) -> ProblemEnv:
    """What `gymnasium.make("tacit/GAME-v0", human=NAME)` makes."""
    return gymnasium_env(named_problem(game, human), render_mode)


def named_vector_env(game: str, num_envs: int, human: str | None = None) -> ProblemVectorEnv:
    """What `gymnasium.make_vec` makes in vectorization mode "vector_entry_point"."""
    return vector_env(named_problem(game, human), num_envs)


for _member in members("tacit.games"):
    gymnasium.register(
        f"tacit/{_member.name}-v0",
        entry_point="tacit.app.interop:named_env",
        vector_entry_point="tacit.app.interop:named_vector_env",
        kwargs={"game": _member.name},
    )
