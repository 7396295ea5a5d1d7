"""One batch cut into shards, and weights spread, over one process or many: steps that take turns, updates, evaluations.

Imports the world and the rooms below. Add nothing that one process with one shard would need.
"""
