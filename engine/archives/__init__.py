"""Archives: making, loading and measuring them, and the base of the experiments.

Imports checks and the rooms below. Add code here that deals with runs that are kept for good.
"""
