"""Experience becomes parameters: nothing here knows a role or a game."""
