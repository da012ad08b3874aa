"""One file is one kind of feedback: what a person could have chosen. `choice` holds the one rule they all use."""
