"""Numbers out of chips, and the one filter over them."""
