"""One file is one table or figure: a frozen config and claims with their source."""
