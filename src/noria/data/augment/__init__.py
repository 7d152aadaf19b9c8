"""Shelf: how a training input is varied. A member offers `Settings` and `vary(array, settings, key)`."""
