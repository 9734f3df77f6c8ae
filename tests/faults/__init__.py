"""Faults on a real replica set while people use an app, and a judge of what they saw.

`clients` is the load, `app` what it runs against, `disruptions` the faults, `history` what is written down,
`checker` the promises, `drill` one round of all that. ``python -m faults`` runs the long form.
"""
