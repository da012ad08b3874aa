"""Problems of one player who does not see the whole state, and the files that hold them."""
