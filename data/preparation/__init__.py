"""Decodes files once, by several processes, and reads what was decoded.

Imports foundation and the rooms below. Add a step of decoding beforehand here.
"""
