"""The engine: configuration, components by name, factory, modules, randomness, run directory, launch, command line."""
