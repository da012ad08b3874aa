"""One file is one assistant: policies that do not know theta."""
