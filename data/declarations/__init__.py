"""What a data set declares before it reads: the specification of its samples and targets.

Imports foundation alone. Add a kind of target here, beside `targets.py`.
"""
