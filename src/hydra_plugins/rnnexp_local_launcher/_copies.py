"""Whether a copy of this process would work."""

import os
import sys
import threading
import time

from hydra_plugins.rnnexp_local_launcher._processes import Process

TRY_SECONDS = 10.0
"""How long a copy may take to compute what takes a millisecond."""


def fork_is_safe() -> bool:
    """Tell whether a copy of this process would work: Linux, one thread, no CUDA context.

    A process in which torch has computed with several threads cannot be copied: their pool is
    gone in the copy, which waits for it for ever.
    """
    torch = sys.modules.get("torch")
    if torch is not None and (torch.cuda.is_initialized() or torch.get_num_threads() > 1):
        return False
    return sys.platform == "linux" and threading.active_count() == 1


def copy_computes(threads: int) -> bool:
    """Tell whether torch computes in a copy of this process, by one that tries.

    Nothing says whether torch has started its pool of threads here; to have imported it is no harm.

    Args:
        threads: of torch in the copy; one needs no pool.
    """
    torch = sys.modules.get("torch")
    if torch is None or threads == 1 or torch.get_num_threads() == 1:
        return True
    pid = os.fork()
    if pid == 0:
        try:
            torch.set_num_threads(threads)
            torch.ones(2**20).exp_()
        finally:
            os._exit(0)
    copy, until = Process(pid), time.monotonic() + TRY_SECONDS
    while (code := copy.poll()) is None and time.monotonic() < until:
        time.sleep(0.005)
    if code is None:
        copy.kill()
        os.waitpid(pid, 0)
    return code is not None
