"""Training samples out of a lake."""
