"""The search for settings: what a sweep tries, its study in an SQLite file, and the processes that train its trials.

Imports every room below; Optuna is an extra, imported where it is needed. Add here what chooses settings or learning
rates; a trial itself is an ordinary run that ``engine/launch`` trains.
"""
