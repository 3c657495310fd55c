"""The only importer of megatron-core: builds the model, trains, scores, saves and exports it."""

import warnings

# Megatron warns at import about what is not installed (apex, Transformer Engine), and calls parts of
# torch by names that newer releases deprecate. A user can change neither.
warnings.filterwarnings("ignore", module="megatron")
warnings.filterwarnings("ignore", message="`torch.distributed", category=FutureWarning)
warnings.filterwarnings("ignore", message="Please use DTensor", category=FutureWarning)
