"""Model known: policies and values. Names no game."""
