"""Engines that answer behind an OpenAI-compatible endpoint: vLLM, SGLang, and our own, `local`.

serving/         starting an engine: environments, command lines, processes, ready files
inject/          what runs inside vLLM's and SGLang's own processes
local/           our engine: transformers in this process
fleet/           several replicas behind one endpoint; how one is restarted
vllm/ sglang/    how each is started, and its client
client.py        the client for training jobs: token ids, log-probs, new weights
tokens.py        its requests and results
prompt_rules.py  a checkpoint's rules for prompts: vocabulary, images, videos
weights.py       whether a folder's weights can be loaded, and whether they were
probe.py         what a running server is and can do
doctor.py        what is installed and missing: qvl doctor
"""
