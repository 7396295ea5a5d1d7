"""The end of every wait and of every run: time limits that are watched, and signals that stop.

Imports foundation alone. Add no wait without a limit.
"""
