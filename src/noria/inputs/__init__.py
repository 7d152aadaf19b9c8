"""Shelf: the only place where bytes become arrays, in training and in production (twinned in `exporting/graphs`).

A member offers `Settings`, `inspect(data, settings)`, `read(data, settings)`, `encode_preview(data, side)` and
`variants(data)`: the same input stored in other ways, which every decoder must read alike.
"""
