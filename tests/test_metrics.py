"""`/metrics` speaks the text format of Prometheus."""

from __future__ import annotations

import falcon
import falcon.testing

from xds.metrics import Metrics, Sample


def test_every_metric_is_told_once_with_its_samples():
    """HELP and TYPE before the first sample of each; labels escaped; whole numbers to the last digit."""
    samples = [
        Sample("xds_a", "What a is.", 1_795_000_123, {"issuer": 'urn:"x"\\y', "key": "1"}),
        Sample("xds_a", "What a is.", 0.5, {"issuer": "b", "key": ""}),
        Sample("xds_b", "What b is.", 3),
    ]
    app = falcon.App()
    app.add_route("/metrics", Metrics(lambda: samples))
    answer = falcon.testing.TestClient(app).simulate_get("/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.text.splitlines() == [
        "# HELP xds_a What a is.",
        "# TYPE xds_a gauge",
        'xds_a{issuer="urn:\\"x\\"\\\\y",key="1"} 1795000123.0',
        'xds_a{issuer="b",key=""} 0.5',
        "# HELP xds_b What b is.",
        "# TYPE xds_b gauge",
        "xds_b 3.0",
    ]


def test_without_sources_the_answer_is_empty():
    """A node without tickets has nothing to tell yet."""
    app = falcon.App()
    app.add_route("/metrics", Metrics())
    answer = falcon.testing.TestClient(app).simulate_get("/metrics")
    assert (answer.status_code, answer.text) == (200, "")
