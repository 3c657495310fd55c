"""Mistakes in --set are found in Megatron's source, as its import would find them."""

import dataclasses
import subprocess
import sys

import pytest

from qvl.errors import UserError
from qvl.megatron import field_names


@pytest.mark.parametrize(
    ("fields", "where", "message"),
    [
        ({"layers": 2}, field_names.TRANSFORMER, "did you mean 'num_layers'"),
        ({"hidden_size": "x"}, field_names.TRANSFORMER, "--set hidden_size=x: .* type int"),
        ({"hidden_size": True}, field_names.TRANSFORMER, "type int"),
        ({"bf16": 1}, field_names.TRANSFORMER, "type bool"),
        ({"adam_beta1": None}, field_names.OPTIMIZER, "type float"),
    ],
)
def test_a_field_that_is_not_there_or_of_another_type_is_told(fields, where, message):
    with pytest.raises(UserError, match=message):
        field_names.check(fields, where, "--set")


def test_what_megatron_takes_passes():
    sound = {"moe_grouped_gemm": True, "num_query_groups": None, "moe_aux_loss_coeff": 1}
    field_names.check(sound, field_names.TRANSFORMER, "--set")
    optimizer = {"exp_avg_dtype": "bf16", "optimizer_offload_fraction": 0.5}
    field_names.check(optimizer, field_names.OPTIMIZER, "--set-optimizer")


def test_the_fields_are_those_of_the_import():
    from megatron.core.optimizer import OptimizerConfig
    from megatron.core.transformer import TransformerConfig

    for kind, where in (
        (TransformerConfig, field_names.TRANSFORMER),
        (OptimizerConfig, field_names.OPTIMIZER),
    ):
        for each in dataclasses.fields(kind):
            if isinstance(each.default, bool | int | float | str):
                field_names.check({each.name: each.default}, where, "--set")
        with pytest.raises(UserError, match=rf"not a field of Megatron's {kind.__name__}"):
            field_names.check({"no_such_field": 1}, where, "--set")


def test_nothing_large_is_imported():
    code = (
        "import sys\nfrom qvl.megatron import field_names as f\n"
        "f.check({'num_layers': 2}, f.TRANSFORMER, '--set')\n"
        "assert not {'torch', 'megatron.core'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
