"""The words of the run that tests go on with."""

WORDS = ["task.length=8", "cell.hidden_size=4", "trainer.max_steps=2", "task.val_batches=1"]
WORDS += ["task.test_batches=1", "monitor.pictures=never", "cell=elman", "trainer.progress=none"]
WORDS += ["tracking.wait=0", "flush_denormal=false"]  # the latter would stay in this process
