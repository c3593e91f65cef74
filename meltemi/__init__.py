"""Layer-7 traffic management for everything that is not HTTP, on stock Envoy.

``python -m meltemi --help`` is the way in. Importing this package imports nothing else.
"""
