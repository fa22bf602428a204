"""Programs that measure what the README states; ``python -m benchmarks [NAME ...]`` runs them."""
