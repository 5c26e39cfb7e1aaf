"""How fast, how big: `tox -e bench`, or `python -m tests.benchmarks.bench_hot_path`."""
