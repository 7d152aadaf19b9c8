"""Shelf: a member offers `train(job, *, store, progress) -> Trained`."""
