"""From overrides to a checked plan, and from a plan to its objects: task, cell, network, module.

Here are the schema, its composition and checks, the cells that can be named, and what makes a run
this run: its config and its plugins' sources. Imports nothing else of `rnnexp.app`.
"""
