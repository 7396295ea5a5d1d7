"""The way from encoded images and targets to samples.

Imports foundation and the rooms below, of which it uses the declarations, the division and the cache. Add a decoder of
a file format here.
"""
