"""What every other folder may use: problems, randomness, intervals, files, pictures, plots, the console.

Imports nothing of Firebox. Add here what knows nothing of training, in a file that is named for what it does.
"""
