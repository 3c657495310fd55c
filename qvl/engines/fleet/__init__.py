"""Several engines behind one endpoint: `qvl serve --replicas N`. Each file imports only those above it.

replica.py     one replica: a `qvl serve` in a process of its own
control.py     pauses, sleep and new weights for all replicas, also for one that was restarted
supervisor.py  how a replica is restarted: its process, its health checks, the delays between starts
fleet.py       all replicas: started together, picked by load, stopped together
router.py      the endpoint: each request goes to the least busy replica, and to another if that one fails
serve.py       what `qvl serve --replicas` runs

This package exists because of weight updates. If an engine crashes during training, it is restarted and
loads the weights of the others before it gets a request, and the request that it lost is sent to another.
The engines' own data-parallel servers cannot do this: they stop as a whole if one rank crashes, and start
with the weights of their command line. Everything else is left to vLLM and SGLang and is turned on with
--engine-args: parallelism within one engine, batching, prefix caches.
"""
