"""Training itself: the factory, the run, its iterations and updates, and the base classes of handlers and modules.

Imports records and the rooms below. Add here only what every run needs; what can be attached is a handler.
"""
