"""One file is one game. `tacit.members` finds them: a module here that defines `make` is a game."""
