"""Experiments on recurrent networks: plugins in, comparable records out.

Importing this package is cheap; torch is loaded by the layers that compute.
"""

__version__ = "0.1.0"
