"""Shelf: how a training input is varied. A member offers `Settings`, `vary(array, settings, key)`,
`number_of_views(settings, num_examples)` and `RECIPE`, a number that changes when equal settings give other views."""
