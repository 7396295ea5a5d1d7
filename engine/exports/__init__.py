"""Exports: archived models as files of other programs, and as folders to hand on, such as those of a hub.

Imports ``archives`` and the rooms below it. Add a file format in ``formats.py``, and a place to hand archives to in a
file of its own.
"""
