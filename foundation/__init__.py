"""Code that every other folder may use: problems, randomness, intervals, files, pictures, plots, the console.

Imports nothing else of Firebox. Code that does not depend on training belongs here, in a file named for what it does.
"""
