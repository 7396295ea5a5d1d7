"""The processes that train one run together: how they find each other, add, agree and part.

Imports foundation alone. Add here what one process says to another; what a run does with it is in the rooms above.
"""
