"""The commands: ``rnnexp NAME`` is `main` of one module here, as `rnnexp.__main__` lists them.

Each reads its arguments and says what came of it. May import all of `rnnexp.app`; is imported by
nothing. The templates of ``new-cell`` and ``new-task`` lie here too.
"""
