"""A run's records: its directory, its checkpoints, TensorBoard's files, and which checkpoint is the best.

Imports configuration and components. Add here what reads or writes a run's own files.
"""
