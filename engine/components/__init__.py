"""Components: finding them by name, import path or file, and reading their settings from their signatures.

Imports no other room. Add a new kind of component here; new components go into the catalogue of their folder.
"""
