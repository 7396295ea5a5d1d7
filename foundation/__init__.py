"""Code that every other folder may use: problems, randomness, intervals, files, pictures, plots, the console.

Imports nothing else of Firebox. Add code here that does not depend on training, in a file named for what it does.
"""
