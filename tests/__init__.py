"""A package, so that tests can share what they are built from."""
