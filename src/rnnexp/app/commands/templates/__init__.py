"""What `rnnexp new-cell` and `rnnexp new-task` write."""
