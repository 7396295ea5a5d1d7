"""Samples read by index, and the batches that are made of them.

Imports foundation and the declarations. Add a kind of source here, as an `ImageSource`.
"""
