"""Many hosts and one store: nobody listens on a port, everything is an object with a name of its own.

`messages`    what a coordinator and a host write to each other: each time the whole of what they know
`leadership`  which coordinator leads: the one with the highest epoch
`desk`        the coordinator's side: an executor whose workers are slots of hosts
`agent`       a host's side: does what the newest orders say, by an executor of its own
`lead`        a run from its claim to its end

No name is written twice, and each has one writer. So any message may be lost, late or repeated, and a
process that was taken for dead can only add objects that nobody asks for.
"""
