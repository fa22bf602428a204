"""One run: its trainer, its record, its processes; going on with it, and making a step again.

Imports `rnnexp.app.config` and `rnnexp.app.jobs`, and knows nothing of the sweep it may belong to
but what stands in its folder.
"""
