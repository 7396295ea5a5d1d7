"""What a data set consists of, and how it differs from what it was.

Imports foundation and the rooms below. Add what tells two data sets apart here.
"""
