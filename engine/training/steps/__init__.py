"""What happens with each batch: the engines' functions, what a step may return, and who acts after which iteration.

Imports data's batches and the rooms below. Add only what every iteration does.
"""
