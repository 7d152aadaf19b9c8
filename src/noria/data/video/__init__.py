"""Room: videos -> pictures, with a manifest in which all frames of one video are one group."""

SIMILAR = 4.0  # percent of the brightness range, see `change`; measured by `bench/frames.py`
