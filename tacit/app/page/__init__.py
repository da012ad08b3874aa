"""The page in a browser: what is shown of a session, and what a person points at. No rule of the game is here."""
