"""Shelf: the only place where bytes become arrays, in training, in the server and (twinned in `export/graphs`) in files.

A member offers `Settings`, `inspect(data, settings)`, `read(data, settings)`, `encode_preview(data, side)` and
`variants(data)`: the same input stored in other ways, which every decoder must read alike.
"""
