"""Files that hold many samples each: arrays, idx files and tar files.

Imports foundation and the rooms below. Add a file format here.
"""
