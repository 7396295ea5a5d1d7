"""The base classes of modules, losses and handlers, and what a run relies on in each family of components.

Imports data, components, records and the rooms below. Add a base here once two components share it.
"""
