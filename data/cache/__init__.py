"""Files of decoded samples, and the folder that holds them.

Imports foundation alone. Add what all cached files have in common.
"""
