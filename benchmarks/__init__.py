"""Benchmarks; every claim about speed in docs/performance.md is based on one of them.

Imports everything but trainers and experiments. Add one script per question; ``measuring`` has what they share.
"""
