"""Tables of files and targets.

Imports foundation and the rooms below. Add a format of tables here.
"""
