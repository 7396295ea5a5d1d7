"""Scripts that evaluate or show an archived model.

Imports everything but trainers and benchmarks. Add one script per experiment, holding an ``Experiment``; there is no
catalogue.
"""
