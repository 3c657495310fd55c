"""Megatron's configuration as a user may change it with --set."""

from importlib.util import find_spec


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
