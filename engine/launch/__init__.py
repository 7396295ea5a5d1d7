"""From a configuration to a run that has ended: launch, resume, replay, and what is said at start and end.

Imports every room but commands. Add here what happens once per run, around the training.
"""
