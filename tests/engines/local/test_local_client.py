"""The local engine as a policy, dense and a mixture of experts: see policies.py."""

import shutil
from unittest.mock import Mock

import pytest
from policies import (  # noqa: F401 - tests, with the fixtures of this file
    test_a_conversation_goes_on_without_tokenising_again,
    test_a_folder_that_cannot_be_loaded_changes_nothing,
    test_a_wrong_prompt_is_refused_before_it_is_sent,
    test_an_order_waits_for_no_slot_of_those_that_wait_for_it,
    test_samples_and_scores_are_those_of_transformers,
    test_samples_and_scores_of_videos_are_those_of_transformers,
    test_updates_under_load_leave_every_answer_to_one_version,
    test_what_is_asked_while_it_is_paused_is_answered_after,
)
from running import Reference, data_uri, picture
from served import Served

from qvl.engines import probe, protocol
from qvl.engines.protocol import Prompt, Rules, connect
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


def test_a_server_that_takes_no_token_ids_is_refused(folders):
    from fake_endpoint import FakeEndpoint, completion

    with (
        FakeEndpoint(lambda body, attempt: completion("x")) as endpoint,
        pytest.raises(UserError, match="takes no token ids"),
    ):
        connect(endpoint.url, folders["one"])


def test_an_image_of_a_group_is_decoded_once_and_few_are_remembered(folders, monkeypatch):
    load = Mock(wraps=images.load)
    monkeypatch.setattr(images, "load", load)
    monkeypatch.setattr(protocol, "REMEMBERED", 2)
    rules = Rules.of(folders["one"])
    small, wide, tall = (data_uri(picture(*size, 0)) for size in ((64, 64), (96, 64), (64, 96)))
    lengths = [
        len(rules.expanded(Prompt([rules.image_token], [each])))
        for each in (small, wide, small, wide, tall, wide, small)
    ]
    assert lengths == [4, 6, 4, 6, 6, 6, 4]
    assert [call.args[0] for call in load.call_args_list] == [small, wide, tall, small]


def test_a_load_that_fails_on_the_way_gets_the_last_good_weights_back(engine, folders, tmp_path):
    class Vanishing(type(engine)):
        def _load(self, folder, version):
            if folder == tmp_path / "gone":
                shutil.rmtree(folder)
            super()._load(folder, version)

    class Stale(type(engine)):
        def _load(self, folder, version):
            super()._load(folders["one"], version)

    shutil.copytree(folders["other"], tmp_path / "gone")
    before = engine.score(Prompt([1, 2, 3, 4])).result()
    facts = probe.probe(engine.endpoint)
    for kind, folder, told in (
        (Vanishing, tmp_path / "gone", "cannot load its weights.* has those of 'default' again"),
        (Stale, folders["other"], "answers as before; .* has those of 'default' again"),
    ):
        other = kind(engine.folder, engine.rules, engine.client, facts)
        with pytest.raises(EndpointError, match=told):
            other.load(folder, "new")
        assert other.version == "default"
        assert probe.probe(engine.endpoint)["weight_version"] == "default"
        assert engine.score(Prompt([1, 2, 3, 4])).result() == before
