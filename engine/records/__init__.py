"""Records: a run's directory, its checkpoints, TensorBoard's files, which checkpoint is the best; an archive's card.

Imports configuration and components. Add here what reads or writes a run's own files, or verifies an archive's.
"""
