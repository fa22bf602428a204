"""The folder of a job: what it is to do, which process is at it, how far it came, how it ended.

All of it is files, which any process may read. Imports nothing else of `rnnexp.app`.
"""
