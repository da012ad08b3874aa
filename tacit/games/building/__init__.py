"""The building game: rules, houses, recordings of people. The sizes that can be played are files of `tacit.games`."""
