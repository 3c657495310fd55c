"""The only importer of megatron-core: how the model is built, stepped, saved and exported."""
