"""The only importer of megatron-core: how the model is built, stepped, saved and exported."""

import warnings

# Megatron says at import what is not installed (apex, Transformer Engine), and calls parts of torch
# by names that newer releases deprecate. A user can mend neither.
warnings.filterwarnings("ignore", module="megatron")
warnings.filterwarnings("ignore", message="`torch.distributed", category=FutureWarning)
warnings.filterwarnings("ignore", message="Please use DTensor", category=FutureWarning)
