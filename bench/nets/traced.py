"""Any convolutional net in stages: traced by torch.fx, and cut in two wherever its maps have become smaller."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx, nn

from bench.nets.torch_files import reason
from bench.nets.weights import WeightsError

SIDE = 128  # pixels of the image that tells how large the maps are
SMALL = 4  # sizes of maps that a net for small images has at most
HOW = "give it a method stages() that returns modules which follow each other, each to a map (N, C, H, W)"


class Shapes(fx.Interpreter):
    """Keeps the shape of each tensor with its node. torch's own ShapeProp prints the traceback of what is raised."""

    def run_node(self, n: fx.Node) -> Any:
        """See Interpreter."""
        value = super().run_node(n)
        n.meta["shape"] = tuple(value.shape) if isinstance(value, torch.Tensor) else ()
        return value


def cut(net: nn.Module, name: str) -> list[nn.Module]:
    """The net's layers up to its last map, in stages: a cut where one value alone goes on, the last at each size.

    net: from (N, 3, H, W). Raises WeightsError where it cannot be traced, or has no such places.
    """
    was_training = net.training
    net.eval()
    try:
        traced = fx.symbolic_trace(net)
        Shapes(traced).run(torch.zeros(1, 3, SIDE, SIDE))
    except Exception as error:  # of nets whose forward depends on values, or takes no such image: of any kind
        raise WeightsError(f"{name} cannot be cut into stages (torch.fx: {reason(error)}): {HOW}") from None
    finally:
        net.train(was_training)
    ends = _ends(traced.graph)
    if len(ends) < 2:
        raise WeightsError(f"{name} has no places where its maps become smaller and one value goes on: {HOW}")
    nodes, found = list(traced.graph.nodes), list[nn.Module]()
    entry = nodes[0]
    for end in ends:
        between = nodes[nodes.index(entry) + 1 : nodes.index(end) + 1]
        found.append(_part(traced, between, entry, end).train(was_training))
        entry = end
    return found


def _part(traced: fx.GraphModule, nodes: list[fx.Node], entry: fx.Node, end: fx.Node) -> fx.GraphModule:
    """These nodes as a module from the value of `entry` to that of `end`, with the layers that they call."""
    graph = fx.Graph()
    made = {entry: graph.placeholder("x")}

    def of(node: fx.Node) -> fx.Node:
        if node not in made:  # a parameter that a stage before has used, too
            made[node] = graph.node_copy(node)
        return made[node]

    for node in nodes:
        made[node] = graph.node_copy(node, of)
    graph.output(made[end])
    return fx.GraphModule(traced, graph)


def _ends(graph: fx.Graph) -> list[fx.Node]:
    """The last node of each size of maps behind which nothing before it is used any more, the classifier left out.

    Maps as large as the image are a stage of nets for small images alone, which have few sizes.
    """
    nodes = [node for node in graph.nodes if node.op != "output"]
    last_use = {
        node: max((nodes.index(user) for user in node.users if user.op != "output"), default=0) for node in nodes
    }
    by_side: dict[int, fx.Node] = {}
    open_until = 0
    for place, node in enumerate(nodes):
        alone = open_until <= place  # nobody behind it uses what came before
        open_until = max(open_until, last_use[node] if node.op != "get_attr" else 0)
        shape = _map_of(node)
        if alone and shape is not None and shape[2] > 1:
            by_side[shape[2]] = node
    sides = sorted(by_side, reverse=True)
    return [by_side[side] for side in (sides[1:] if sides[0] == SIDE and len(sides) > SMALL else sides)]


def _map_of(node: fx.Node) -> tuple[int, ...] | None:
    shape: tuple[int, ...] = node.meta.get("shape", ())
    return shape if len(shape) == 4 and node.op not in ("placeholder", "get_attr") else None
