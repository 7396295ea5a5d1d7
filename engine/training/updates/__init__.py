"""One optimizer update: backward, clip, refuse what is not finite, step; and the losses, which stay on the device.

Imports foundation alone. Add nothing that knows of modules or handlers.
"""
