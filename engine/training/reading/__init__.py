"""The data of a run as its engines read it: streams of batches, what they consist of, and the progress of preparing it.

Imports data and the rooms below. Add what every data set needs to data/ instead.
"""
