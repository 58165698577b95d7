"""One digest for a graph, by what can be seen from a node: not by how many copies of a thing there are.

A node has a label and children. Where there are no cycles, a node's digest is the hash of its label and
of its children's digests. The nodes of a cycle are told apart by colours: all begin alike, and in every
round a node's colour becomes the hash of its label and its children's colours, until no more can be told
apart (partition refinement; Hopcroft, "An n log n algorithm for minimizing states in a finite automaton",
1971). Two nodes from which the same can be seen have one colour, so a thing that is shared and copies of
it give the same digest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256

_ROUNDS = 64
"""Long chains are told apart by what all their nodes together are."""


def digest_of(labels: Sequence[bytes], children: Sequence[Sequence[int]], ordered: Sequence[bool]) -> bytes:
    """sha256 for the first node. Children are numbers of nodes; `ordered` says whose order counts."""
    known: dict[int, bytes] = {}

    def digest(node: int, colours: Mapping[int, bytes]) -> bytes:
        seen = [colours[child] if child in colours else known[child] for child in children[node]]
        if not ordered[node]:
            seen.sort()
        return sha256(b"%d %d\n%b%b" % (len(labels[node]), len(seen), labels[node], b"".join(seen))).digest()

    for component in _components(children):
        node = component[0]
        if len(component) == 1 and node not in children[node]:
            known[node] = digest(node, {})
            continue
        colours = dict.fromkeys(component, b"")
        for _ in range(_ROUNDS):
            before = len(set(colours.values()))
            colours = {node: digest(node, colours) for node in component}
            if len(set(colours.values())) == before:
                break
        whole = b"".join(sorted(set(colours.values())))
        known |= {node: sha256(colour + whole).digest() for node, colour in colours.items()}
    return known[0]


def _components(children: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Strongly connected components of what node 0 reaches, those that others lead to first.

    Tarjan, "Depth-first search and linear graph algorithms", 1972, without recursion: values may be deep.
    """
    order: dict[int, int] = {0: 0}
    lowest = {0: 0}
    open_nodes = [0]
    is_open = {0}
    path = [(0, iter(children[0]))]
    while path:
        node, left = path[-1]
        child = next(left, None)
        if child is None:
            path.pop()
            if path:
                above = path[-1][0]
                lowest[above] = min(lowest[above], lowest[node])
            if lowest[node] == order[node]:
                yield _closed(node, open_nodes, is_open)
        elif child not in order:
            order[child] = lowest[child] = len(order)
            open_nodes.append(child)
            is_open.add(child)
            path.append((child, iter(children[child])))
        elif child in is_open:
            lowest[node] = min(lowest[node], order[child])


def _closed(node: int, open_nodes: list[int], is_open: set[int]) -> list[int]:
    at = len(open_nodes) - 1
    while open_nodes[at] != node:
        at -= 1
    component = open_nodes[at:]
    del open_nodes[at:]
    is_open.difference_update(component)
    return component
