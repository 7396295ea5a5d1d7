"""The endless stream of batches, and where its samples are kept.

Imports foundation and the rooms below. Add a placement of samples here.
"""
