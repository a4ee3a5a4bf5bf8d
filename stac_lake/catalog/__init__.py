"""A lake out of items: documents, commit, index, search, publish, verify."""
