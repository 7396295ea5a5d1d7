"""What a run begins with and what it keeps: weights, groups of parameters, and the state of what is trained.

Imports the configuration, records and the rooms below. Add here what is done to parameters around the steps.
"""
