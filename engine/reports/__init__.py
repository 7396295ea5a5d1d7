"""Reports: what runs have recorded, as one HTML page that opens from disk and needs no network.

Imports ``records`` and the rooms below it, and nothing that a run names. The page's own files are in ``static/``; add a
section there and, for what it shows, a field in ``content.py``.
"""
