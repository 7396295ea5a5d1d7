"""The configuration of a run: reading, layering and validating it. Every value knows where it was written.

Imports components. Add a section or a rule of the language here; a component's own settings are the parameters of its
constructor.
"""

import lazy_loader

# What only reads recorded values, such as the list of a thousand runs, needs none of the models that validate.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
