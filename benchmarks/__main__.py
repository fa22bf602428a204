"""Run every benchmark: ``python -m benchmarks``."""

from benchmarks import recurrence

if __name__ == "__main__":
    recurrence.main()
