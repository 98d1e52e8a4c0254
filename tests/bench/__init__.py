"""Benchmarks: Skerry's speed and size beside what is physically there. `python -m tests.bench --help`.

No test: pytest collects only the tests of the harness itself. Figures are measured on real parts, and what they are
compared to in the same run.
"""
