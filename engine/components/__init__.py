"""Components by name: catalogues, import paths and files, and the signatures that are their settings.

Imports no other room. Add here a new kind of component; new components go into the catalogue of their folder.
"""
