"""Nodes by the names that people know them by."""

from reprise.launch.placement.nodes import Node, labels


def node(host: str, address: str = "") -> Node:
    return Node(1, 0, 1.0, host, address=address)


def test_a_node_is_its_host_and_its_address() -> None:
    assert labels([node("gpu-01", "10.0.0.1"), node("gpu-02", "10.0.0.2")]) == [
        "gpu-01 (10.0.0.1)",
        "gpu-02 (10.0.0.2)",
    ]
    assert labels([node("here")]) == ["here"]


def test_several_nodes_of_one_machine_are_distinguished() -> None:
    same = node("here", "127.0.0.1")
    assert labels([same, node("there"), same]) == ["here (127.0.0.1) #1", "there", "here (127.0.0.1) #2"]
