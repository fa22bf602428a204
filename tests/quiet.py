"""What a Lightning Trainer is told where a test wants nothing of it but the training."""

QUIET = {
    "accelerator": "cpu",
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
