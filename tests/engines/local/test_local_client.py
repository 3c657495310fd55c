"""The client of the local engine, dense and a mixture of experts: see client_contract.py."""

import shutil
from unittest.mock import Mock

import pytest
from client_contract import (  # noqa: F401 - tests, with the fixtures of this file
    test_a_command_does_not_wait_for_requests_that_wait_for_it,
    test_a_conversation_continues_without_tokenising_again,
    test_a_conversation_that_goes_on_under_new_weights_is_of_these_alone,
    test_a_folder_that_cannot_be_loaded_changes_nothing,
    test_a_wrong_prompt_is_refused_before_it_is_sent,
    test_an_update_that_changes_little_is_taken,
    test_log_probs_are_those_of_transformers,
    test_log_probs_with_videos_are_those_of_transformers,
    test_requests_during_a_pause_are_answered_after_it,
    test_the_tokens_of_images_are_never_sampled,
    test_updates_under_load_leave_one_version_per_completion,
)
from running import Reference, data_uri, picture
from served import Served

from qvl.engines import probe, prompt_rules
from qvl.engines.client import connect
from qvl.engines.prompt_rules import PromptRules
from qvl.engines.tokens import TokensPrompt
from qvl.errors import EndpointError, UserError
from qvl.media import images
from qvl.tiny import model


@pytest.fixture(scope="module", params=["dense", "moe"])
def folders(request, tmp_path_factory):
    parent = tmp_path_factory.mktemp(request.param)
    found = {}
    for seed, name in enumerate(("one", "other")):
        found[name] = parent / name
        found[name].mkdir()
        model.write(found[name], "xs", moe=request.param == "moe", thinking=False, seed=seed)
    return found


@pytest.fixture(scope="module")
def engine(folders):
    server = Served(folders["one"], "--port", 0)
    try:
        with connect(server.url, folders["one"]) as engine:
            yield engine
    finally:
        server.stop()


@pytest.fixture(scope="module")
def reference(folders):
    return Reference(folders["one"])


def test_a_server_that_does_not_take_token_ids_is_refused(folders):
    from fake_endpoint import FakeEndpoint, completion

    with (
        FakeEndpoint(lambda body, attempt: completion("x")) as endpoint,
        pytest.raises(UserError, match="does not take token ids"),
    ):
        connect(endpoint.url, folders["one"])


def test_an_image_of_a_group_is_decoded_once_and_few_are_cached(folders, monkeypatch):
    load = Mock(wraps=images.load)
    monkeypatch.setattr(images, "load", load)
    monkeypatch.setattr(prompt_rules, "CACHE_SIZE", 2)
    rules = PromptRules.load(folders["one"])
    small, wide, tall = (data_uri(picture(*size, 0)) for size in ((64, 64), (96, 64), (64, 96)))
    lengths = [
        len(rules.expand(TokensPrompt([rules.image_token], [each])))
        for each in (small, wide, small, wide, tall, wide, small)
    ]
    assert lengths == [4, 6, 4, 6, 6, 6, 4]
    assert [call.args[0] for call in load.call_args_list] == [small, wide, tall, small]


def test_prompts_are_not_scored_during_a_pause(engine):
    engine.pause()
    response = engine.prompt_logprobs(TokensPrompt([1, 2, 3]))
    with pytest.raises(TimeoutError):
        response.result(0.3)
    engine.resume()
    assert response.result(60).weight_version == engine.weight_version


def test_a_failed_load_restores_the_previous_weights(engine, folders, tmp_path):
    class Vanishing(type(engine)):
        def _load_weights(self, folder, version):
            if folder == tmp_path / "gone":
                shutil.rmtree(folder)
            super()._load_weights(folder, version)

    class Stale(type(engine)):
        def _load_weights(self, folder, version):
            super()._load_weights(folders["one"], version)

    shutil.copytree(folders["other"], tmp_path / "gone")
    before = engine.prompt_logprobs(TokensPrompt([1, 2, 3, 4])).result()
    facts = probe.probe(engine.endpoint)
    for kind, folder, message in (
        (
            Vanishing,
            tmp_path / "gone",
            "cannot load its weights.* serves the previous weights, 'default'",
        ),
        (
            Stale,
            folders["other"],
            "those of the previous weights; .* serves the previous weights, 'default'",
        ),
    ):
        other = kind(engine.folder, engine.rules, engine.client, facts)
        with pytest.raises(EndpointError, match=message):
            other.load_weights(folder, "new")
        assert other.weight_version == "default"
        assert probe.probe(engine.endpoint)["weight_version"] == "default"
        assert engine.prompt_logprobs(TokensPrompt([1, 2, 3, 4])).result() == before


def test_a_client_that_is_killed_after_an_update_leaves_it_to_the_next_one(folders, tmp_path):
    """Whatever the next one knows when it connects: it is the update that came last, or one before it."""
    new = tmp_path / "new"
    shutil.copytree(folders["other"], new)
    server = Served(folders["one"], "--port", 0)
    try:
        with (
            connect(server.url, folders["one"]) as late,
            connect(server.url, folders["one"]) as killed,
        ):
            killed.load_weights(new, "step-2")
            late.load_weights(folders["other"], "step-2")  # it connected before that update
            killed.load_weights(new, "step-3")
        for known in (True, False):
            if not known:
                shutil.rmtree(new)  # by the run that wrote it
            with connect(server.url, folders["one"]) as resumed:
                assert resumed.weight_version == "step-3"
                assert resumed.folder == (new if known else None)
                resumed.load_weights(folders["other"], "step-3")
                assert resumed.folder == folders["other"]
                assert (
                    resumed.prompt_logprobs(TokensPrompt([1, 2])).result().weight_version
                    == "step-3"
                )
            with connect(server.url, folders["one"]) as again:
                again.load_weights(folders["one"], "step-4")
                if known:
                    again.load_weights(new, "step-3")
    finally:
        server.stop()
