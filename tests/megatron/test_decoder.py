"""Megatron's configuration as a user may change it with --set."""

from importlib.util import find_spec


def refusals(folder, settings):
    """What is said of each field that a user sets; None where it is taken."""
    import torch

    from qvl.errors import UserError
    from qvl.megatron import decoder, parallel
    from qvl.model.shape import load_shape

    said = []
    for setting in settings:
        try:
            decoder.transformer_config(
                load_shape(folder), parallel.Layout(), torch.float32, setting
            )
            said.append(None)
        except UserError as error:
            said.append(str(error))
    return said


SETTINGS = [
    ({"init_method_std": 0.01}, None),
    ({"num_layer": 1}, "did you mean 'num_layers'?"),
    ({"num_layers": "x"}, "Megatron refuses it"),
    ({"transformer_impl": "transformer_engine"}, "transformer_engine: it is not installed"),
]


def test_a_field_that_megatron_has_not_or_refuses_is_told(ranks, dense):
    (said,) = ranks(1, refusals, dense, [setting for setting, _ in SETTINGS])
    for answer, (setting, told) in zip(said, SETTINGS, strict=True):
        if "transformer_impl" in setting and find_spec("transformer_engine"):
            continue
        assert answer is None if told is None else told in answer
