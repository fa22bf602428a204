"""Many runs under one command: which are left to do, where, and what a person sees of them.

Imports `rnnexp.app.config`, `rnnexp.app.jobs` and `rnnexp.app.run`.
"""
