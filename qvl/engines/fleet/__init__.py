"""Several engines behind one endpoint: `qvl serve --replicas N`. Each file imports only those above it.

replica.py     one replica: a `qvl serve` in a process of its own
control.py     pauses, sleep and new weights for all replicas, also for one that was restarted
supervisor.py  how a replica is restarted: its process, its health checks, the delays between starts
fleet.py       all replicas: started together, picked by load, stopped together
router.py      the endpoint: each request goes to the least busy replica, and to another if that one fails
serve.py       what `qvl serve --replicas` runs

What is here is what new weights need: an engine that crashes during training comes back with the
weights of the others before it gets a request, and the request that it lost goes to another. What vLLM
and SGLang do themselves stays theirs, and is turned on with --engine-args: tensor and data parallelism
within one engine, batching, prefix caches. Their own data-parallel servers end as a whole if one rank
crashes, and start with the weights of their command line.
"""
