"""A Ray cluster of two nodes on this machine, started once for all tests that want one."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

KEYS = {"AWS_ACCESS_KEY_ID": "key-of-the-nodes", "AWS_SECRET_ACCESS_KEY": "secret-of-the-nodes"}


@dataclass
class RayCluster:
    """Nodes that know their own name (`NODE`) and S3 credentials; the head runs no tasks."""

    cluster: Any
    nodes: dict[str, Any]

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def add(self, name: str, *, wait: bool = True) -> None:
        variables = {"NODE": name, **KEYS}
        self.nodes[name] = self.cluster.add_node(
            num_cpus=4, num_gpus=1, object_store_memory=80 << 20, env_vars=variables, wait=wait
        )

    def kill(self, name: str) -> None:
        self.cluster.remove_node(self.nodes.pop(name), allow_graceful=False)


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[RayCluster]:
    """Two nodes with four logical CPUs and one pretended GPU each; this process is a driver of it."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'mlgit[ray]'")
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="mlgit-ray-", dir="/tmp")  # a short path: Ray puts sockets there
    variables = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": folder}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patience = {"health_check_period_ms": 1000, "health_check_failure_threshold": 3}  # until a node counts as lost
        head = {
            "num_cpus": 0,
            "object_store_memory": 80 << 20,
            "include_dashboard": False,
            "_system_config": patience,
        }
        made = RayCluster(Cluster(initialize_head=True, head_node_args=head), {})
        try:
            made.add("one", wait=False)
            made.add("two", wait=False)
            made.cluster.wait_for_nodes()
            ray.init(address=made.address, log_to_driver=False, logging_level=logging.CRITICAL)
            yield made
        finally:
            ray.shutdown()
            made.cluster.shutdown()
            deadline = time.monotonic() + 10
            while os.path.exists(folder) and time.monotonic() < deadline:  # processes that are ending still write
                shutil.rmtree(folder, ignore_errors=True)
                time.sleep(0.1)
