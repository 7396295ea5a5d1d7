"""Processes that read samples ahead, and the end of every wait for them.

Imports foundation, the declarations and the sources. Add nothing that a data set could do by itself.
"""
