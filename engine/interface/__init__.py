"""What ``firebox.build`` and its like offer to scripts and notebooks: the commands as functions and objects.

Imports every other room. What it takes of a program (signals, logging, generators) it gives back after each call.
"""
