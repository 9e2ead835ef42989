from __future__ import annotations

import json
import os

import numpy as np
import pytest

from policy.api import FlowBatch, PolicyContext
from policy.errors import PolicyError
from policy.model import checkpoint
from policy.model.load import VARIANT, load_policy
from policy.model.model import PolicyModel
from policy.registry import create
from policy.tasks.congestion.fields import FIELDS
from policy.tasks.congestion.task import fit_history
from policy.worker.policy import WorkerPolicy

pytestmark = pytest.mark.torch


def batch_of(arrays):
    n = len(arrays["windows"])
    return FlowBatch(
        flow=np.arange(n),
        windows=arrays["windows"].astype(np.float64),
        valid=arrays["valid"] > 0,
        bandwidth_bps=arrays["bandwidth_bps"].astype(np.float64),
        min_rtt_ns=arrays["min_rtt_ns"].astype(np.float64),
        mss_bytes=arrays["mss_bytes"].astype(np.float64),
    )


@pytest.fixture
def folder(tmp_path):
    def make(config, target_return=None):
        checkpoint.save(
            tmp_path / "m", PolicyModel(config), card="", training={}, target_return=target_return
        )
        return tmp_path / "m"

    return make


@pytest.mark.parametrize(
    ("tier_name", "kind"),
    [("llm", "nioka"), ("gru", "gru"), ("mlp", "mlp"), ("transformer", "transformer")],
)
def test_decides_for_all_flows_at_once(tiny, inputs, folder, tier_name, kind):
    config = tiny(kind=kind)
    tier = create(tier_name, PolicyContext(flows=8, model=folder(config), device="cpu"))
    batch = batch_of(inputs(config, 5))
    actions = tier.decide(batch, now_ns=0)
    tier.forget([0, 1])
    assert tier.name == tier_name
    assert tier.history == config.history
    ratio = actions.pacing_rate_bps / batch.bandwidth_bps
    assert ratio.shape == (5,)
    assert ((ratio >= 1) & (ratio <= 2)).all()
    assert len(set(actions.cwnd_packets)) == 5
    bdp_packets = batch.bandwidth_bps * batch.min_rtt_ns / 8e9 / batch.mss_bytes
    assert (actions.cwnd_packets >= np.maximum(bdp_packets / 2, 4)).all()


def test_order_and_company_do_not_matter(tiny, inputs, folder):
    config = tiny(kind="gru")
    tier = load_policy("gru", folder(config), "cpu")
    batch = batch_of(inputs(config, 6))
    order = np.array([4, 0, 5])
    whole = tier.decide(batch, 0).cwnd_packets
    np.testing.assert_allclose(
        tier.decide(batch.only(order), 0).cwnd_packets, whole[order], rtol=1e-5
    )


def test_decision_transformer_asks_for_its_target_return(tiny, inputs, folder):
    config = tiny(kind="gru", objective="decision-transformer")
    batch = batch_of(inputs(config, 3))
    path = folder(config, target_return=0.1)
    modest = load_policy("gru", path, "cpu").decide(batch, 0)
    record = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(record | {"target_return": 2.0}))
    ambitious = load_policy("gru", path, "cpu").decide(batch, 0)
    assert (modest.cwnd_packets != ambitious.cwnd_packets).all()


@pytest.mark.parametrize("have", [1, 4, 6])
def test_fit_history(have):
    windows = np.arange(have, dtype=float)[None, :, None] * np.ones((2, have, len(FIELDS)))
    fitted, valid = fit_history(windows, np.ones((2, have), bool), 4)
    assert fitted.shape == (2, 4, len(FIELDS))
    kept = min(have, 4)
    assert valid[0].tolist() == [False] * (4 - kept) + [True] * kept
    assert fitted[0, -1, 0] == have - 1


def test_mistakes_are_named(tiny, folder):
    gru = folder(tiny(kind="gru"))
    with pytest.raises(PolicyError, match="holds a gru model; policy 'llm' needs nioka"):
        load_policy("llm", gru)
    with pytest.raises(PolicyError, match="known: llm, gru"):
        load_policy("oracle")
    with pytest.raises(PolicyError, match="no checkpoint folder 'nowhere'"):
        load_policy("llm", "nowhere")


def test_an_unknown_variant_is_refused(tiny, folder, monkeypatch):
    path = folder(tiny(backbone={"layers": 1}))
    monkeypatch.setenv(VARIANT, "fastest")
    with pytest.raises(PolicyError, match="no engine variant 'fastest'; known: eager, lean"):
        load_policy("llm", path, "cpu")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(
    "TBTEST_COMPILE" not in os.environ, reason="set TBTEST_COMPILE=1: it compiles for a minute"
)
def test_the_servers_worker_compiles_and_keeps_what_it_compiled(
    tmp_path, tiny, inputs, folder, monkeypatch
):
    config = tiny(backbone={"layers": 1})
    context = PolicyContext(8, folder(config), "cpu")
    batch = batch_of(inputs(config, 3))
    monkeypatch.setenv(VARIANT, "lean")
    plain = create("llm", context).decide(batch, 0)
    monkeypatch.setenv(VARIANT, "compile-broadcast")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    worker = WorkerPolicy("llm", context, 64)
    compiled = worker.decide(batch, 0)
    worker.close()
    np.testing.assert_allclose(compiled.cwnd_packets, plain.cwnd_packets, rtol=1e-3)
    assert list((tmp_path / "tbtest" / "compiled").glob("fxgraph/*"))
