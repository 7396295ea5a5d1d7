"""Archives: making them, loading them, measuring them, and what an experiment is.

Imports checks and the rooms below. Add here what has to do with a run that is kept for good.
"""
