"""Who the workers are, from what the engines of clusters set; what is wrong with it is said in words."""

from __future__ import annotations

import json

import pytest

from noria.errors import ConfigError
from noria.training.cluster import Cluster, read_cluster

TWO = ["a:4000", "b:4001"]


def told(cluster: object, task: object) -> dict[str, str]:
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}


def test_workers_are_numbered_as_ray_sets_them() -> None:
    assert read_cluster(told({"worker": TWO}, {"type": "worker", "index": 1})) == Cluster(tuple(TWO), 1)


def test_a_chief_of_a_tfjob_comes_first() -> None:
    jobs = {"chief": ["c:2222"], "worker": TWO}
    assert read_cluster(told(jobs, {"type": "chief", "index": 0})) == Cluster(("c:2222", *TWO), 0)
    assert read_cluster(told(jobs, {"type": "worker", "index": 0})) == Cluster(("c:2222", *TWO), 1)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, r"TF_CONFIG, which is not set.*host-a:4000"),
        ({"TF_CONFIG": "{worker"}, r"is not JSON.*Expected"),
        ({"TF_CONFIG": "[1]"}, r'no "cluster" or no "task"'),
        (told({"worker": TWO}, None), r'no "cluster" or no "task"'),
        (told({"worker": "a:4000"}, {"type": "worker"}), r"no list of host:port"),
        (told({"worker": ["a", "b:1"]}, {"type": "worker"}), r'\["a", "b:1"\]'),
        (told({"worker": ["a:1", "a:1"]}, {"type": "worker"}), r"twice"),
        (told({"worker": []}, {"type": "worker"}), r"no workers"),
        (told({"worker": TWO}, {"type": "worker", "index": 2}), r"worker 2, which its cluster has not"),
        (told({"worker": TWO}, {"type": "evaluator", "index": 0}), r"evaluator 0"),
        (told({"worker": TWO, "ps": ["p:1"]}, {"type": "worker", "index": 0}), r"parameter servers"),
        ({"SLURM_NTASKS": "2", "SLURM_PROCID": "0"}, r"Slurm.*SLURM_STEP_NODELIST"),
    ],
)
def test_what_is_wrong_is_said(environment: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_cluster(environment)


def test_slurm_numbers_its_tasks_host_by_host() -> None:
    slurm = {
        "SLURM_NTASKS": "6",
        "SLURM_PROCID": "3",
        "SLURM_STEP_NODELIST": "gpu[08-10],login",
        "SLURM_STEP_TASKS_PER_NODE": "2,1(x2),2",
    }
    ports = ["gpu08:47600", "gpu08:47601", "gpu09:47600", "gpu10:47600", "login:47600", "login:47601"]
    assert read_cluster(slurm) == Cluster(tuple(ports), 3)
