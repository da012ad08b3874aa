"""What can be done from the command line: each command with its flags, its help and its one sentence of refusal."""
