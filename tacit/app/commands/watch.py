"""Watch an episode, or see it again."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that help and lists come at once.

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from tacit.app.commands.words import File, Seed, UsageError, check_delay, check_seed, console


@dataclass(frozen=True)
class Demo:
    """Watch a simulated person build an unseen house with an assistant's help.

    Example: tacit demo --seed 3 --save house.safetensors
    """

    game: str = "building-small"
    """Which building game; see tacit list games."""
    human: str = "builder"
    """Who builds; see tacit list humans. NAME=FILE for one who was trained, with the weights in FILE."""
    assistant: Annotated[str | None, arg(metavar="STR")] = None
    """Who helps; see tacit list assistants. NAME=FILE as above. The best there is for the game if not given."""
    seed: Seed = 0
    delay: float = 0.08
    """Seconds from one turn to the next, at least."""
    fast: bool = False
    """As fast as it goes: no delay."""
    save: File = None
    """Keep the episode in this file, for tacit replay."""

    def run(self) -> int:
        """Play it."""
        from tacit.app import demo
        from tacit.app.cast import BEST, NOBODY

        check_seed(self.seed)
        check_delay(self.delay)
        delay = 0.0 if self.fast else self.delay
        assistant = self.assistant or BEST.get(self.game, NOBODY)
        demo.run(demo.Settings(self.game, self.human, assistant, self.seed, delay, self.save), console())
        return 0


@dataclass(frozen=True)
class Replay:
    """See a recorded episode again, in the terminal or as a film, a page or a picture.

    Example: tacit replay house.safetensors --out house.gif
    """

    episode: Positional[Path]
    """A file that tacit demo --save wrote."""
    out: File = None
    """Write FILE.gif, FILE.html (one file with a slider) or FILE.png instead of showing it."""
    turn: Annotated[int | None, arg(metavar="INT")] = None
    """Which moment a picture shows; the last if not given."""
    delay: float = 0.08
    """Seconds from one turn to the next in the terminal."""

    def run(self) -> int:
        """Show it or write it."""
        from tacit.app import replay

        check_delay(self.delay)
        if self.out is not None and self.out.suffix.lower() not in replay.KINDS:
            raise UsageError(f"{self.out} should end in {', '.join(replay.KINDS[:-1])} or {replay.KINDS[-1]}.")
        if self.turn is not None and (self.out is None or self.out.suffix.lower() != ".png"):
            raise UsageError("--turn chooses the moment of a picture: give --out FILE.png with it.")
        replay.run(self.episode, self.out, self.turn, self.delay, console())
        return 0
