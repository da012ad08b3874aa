"""A person at a game: what there is (`state`), what may be said (`messages`), what follows (`fold`), where (`room`)."""
