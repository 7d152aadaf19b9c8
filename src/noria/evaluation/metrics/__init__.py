"""Shelf: what is measured about a task's answers. A member offers `measure(scored)`, which returns JSON-able facts.

`classification` also offers `confident_mistakes` and `least_certain`, for looking at pictures one by one.
"""
