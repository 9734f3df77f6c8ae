"""Races of real requests: two server processes on one storage, browsers with a jar each, and a count of what broke.

`server` is the process, `fleet` starts it and asks it, `figures` counts; the other modules have the kinds of rounds.
``python -m races`` runs the long form, ``--short`` the short one that `test_races` runs as well.
"""
