"""Room: videos -> pictures, with a manifest in which all frames of one video are one group."""

SIMILAR = 4.0  # percent of the brightness range, see `change`; noise and compression of still scenes stay below 3.2
