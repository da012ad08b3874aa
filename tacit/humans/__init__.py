"""One file is one human: policies that know theta, or are still learning it."""
