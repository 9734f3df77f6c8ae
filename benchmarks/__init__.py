"""What a session costs, measured beside the floor and beside peers: ``make bench``, ``make bench-quick``.

`targets` is the table of what is promised; each other module measures one group of it; `harness` takes the
times and `report` says what became of the promises.
"""
