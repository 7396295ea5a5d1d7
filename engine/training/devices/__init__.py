"""The device that a run trains on, how its tensors lie in memory, and what of torch stays asleep.

Imports torch alone. Add what depends on the kind of machine.
"""
