"""Training itself: the factory, the run that it assembles, and, a room each, what a run consists of.

Imports records and the rooms below. Add here only what every run needs; what can be attached is a handler.
"""
