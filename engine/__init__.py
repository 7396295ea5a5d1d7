"""The engine, in rooms from the command line down to the components; each room imports those below it alone.

commands > launch > archives > checks > training > records > configuration > components > world. It imports data and
foundation; handlers, modules and models it knows by the names in a configuration, and imports them on demand.
"""
