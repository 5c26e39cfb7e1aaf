"""Client libraries of others, as they come, on replays of both markets.

Collected only when asked for by name, for each needs its library, and some of these
exclude each other: `tox -e clients`, and the environments whose names begin so.
"""
