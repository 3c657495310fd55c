"""Megatron's configuration as a user may change it with --set."""

from importlib.util import find_spec


def optimizer_errors(folder, settings):
    """The same for fields of the optimizer."""
    from dataclasses import replace

    from test_equals_transformers import STEP, build

    from qvl.errors import UserError
    from qvl.megatron import training

    errors = []
    for setting in settings:
        try:
            training.prepare(build(folder), replace(STEP, megatron_optimizer=setting), 1)
            errors.append(None)
        except UserError as error:
            errors.append(str(error))
    return errors


def errors_of(folder, settings):
    """The error for each field that a user sets; None where it is accepted."""
    import torch

    from qvl.errors import UserError
    from qvl.megatron import decoder, parallel
    from qvl.model.shape import load_shape

    errors = []
    for setting in settings:
        try:
            decoder.transformer_config(
                load_shape(folder), parallel.Layout(), torch.float32, setting
            )
            errors.append(None)
        except UserError as error:
            errors.append(str(error))
    return errors


SETTINGS = [
    ({"init_method_std": 0.01}, None),
    ({"num_layer": 1}, "did you mean 'num_layers'?"),
    ({"num_layers": "x"}, "rejected by Megatron"),
    ({"transformer_impl": "transformer_engine"}, "transformer_engine: not installed"),
]


def test_a_field_that_megatron_lacks_or_rejects_is_an_error(ranks, dense):
    (errors,) = ranks(1, errors_of, dense, [setting for setting, _ in SETTINGS])
    for error, (setting, message) in zip(errors, SETTINGS, strict=True):
        if "transformer_impl" in setting and find_spec("transformer_engine"):
            continue
        assert error is None if message is None else message in error


OPTIMIZER = [
    ({"adam_eps": 1e-6}, None),
    (
        {"adam_epsilon": 1e-6},
        "--set-optimizer adam_epsilon: not a field of Megatron's OptimizerConfig",
    ),
    ({"optimizer_cpu_offload": True}, "needs the AdamW of Transformer Engine or apex"),
    (
        {"use_precision_aware_optimizer": True, "exp_avg_dtype": "bf16"},
        "--set-optimizer: rejected by Megatron: ",
    ),
]


def test_a_field_of_the_optimizer_that_megatron_lacks_or_rejects_is_an_error(ranks, dense):
    (errors,) = ranks(1, optimizer_errors, dense, [setting for setting, _ in OPTIMIZER])
    for error, (setting, message) in zip(errors, OPTIMIZER, strict=True):
        if find_spec("transformer_engine") and "adam_eps" not in str(setting):
            continue
        assert error is None if message is None else message in error and "\n" not in error
