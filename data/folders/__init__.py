"""Folders of images, and what of them is read as what.

Imports foundation and the rooms below. Add a way to lay out folders here.
"""
