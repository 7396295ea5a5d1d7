"""Scripts that measure; every claim on speed in docs/performance.md rests on one of them.

Imports everything but trainers and experiments. Add one script per question; ``measuring`` has what they share.
"""
