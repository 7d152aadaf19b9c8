"""Shelf: how a row of scores becomes what the user gets."""
