"""The commands: ``rnnexp NAME`` is `main` of one module here, as `rnnexp.__main__` lists them.

Each reads its arguments and says what came of it; `arguments` and `recorded` hold what several
need, ``templates`` what ``new-cell`` and ``new-task`` write. May import all of `rnnexp.app`, and
is imported by nothing else of it.
"""
