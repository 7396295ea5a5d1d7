"""What ``firebox.build`` and its like offer to scripts and notebooks: the commands as functions and objects.

Imports every other room. Add here what a program calls, with a line in ``firebox/__init__.pyi``; what it takes of the
program (signals, logging, generators) it gives back after each call (``borrowing.py``).
"""
