"""The interface of data sets, and what several of them have in common.

Imports foundation and the rooms below. Add a base here once two data sets share it.
"""
