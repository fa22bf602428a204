"""From overrides to a checked plan, and from a plan to its objects: task, cell, network, module.

Here are the schema, its composition, its checks, and what makes a run this run: config and plugin
sources. Imports nothing else of `rnnexp.app`.
"""
