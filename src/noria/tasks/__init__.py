"""Shelf: a task is a row of names, each the key of a file on another shelf; nothing else in the house knows tasks."""
