"""From a configuration to a finished run: launching, resuming, replaying, and the messages at start and end.

Imports every room but commands. Add here what happens once per run, around the training.
"""
