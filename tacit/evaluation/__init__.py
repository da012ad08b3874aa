"""What did an assistant achieve? Metrics of episodes, comparisons with intervals."""
