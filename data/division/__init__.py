"""What samples there are, and which of them belong to which split.

Imports foundation and the declarations. Add a way to divide samples here, as a function of the seed.
"""
