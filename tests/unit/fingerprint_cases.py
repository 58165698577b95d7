"""Pairs of job files whose `f` means the same, and pairs in which it means something else."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """Two job files; `beside` and `beside_other` are the files beside the one and the other."""

    name: str
    one: str
    other: str
    beside: tuple[tuple[str, str], ...] = ()
    beside_other: tuple[tuple[str, str], ...] = ()


CLASS = """
    class Cart:
        "A cart."
        tax = 2
        def __init__(self, n):
            self.n = n
        def total(self):
            "What it costs."
            return self.n * self.tax
    def f(record):
        return Cart(record).total()
"""
ODD_EVEN = """
    def even(n):
        return n == 0 or odd(n - 1)
    def odd(n):
        return n != 0 and even(n - 1)
    f = even
"""
DATACLASS = """
    from dataclasses import dataclass, field
    @dataclass(frozen=True, slots=True)
    class Row:
        path: str
        size: int = 0
        tags: list = field(default_factory=list)
    def f(line):
        return Row(line)
"""
ENUM = """
    import enum
    class Colour(enum.Enum):
        RED = 1
        BLUE = 2
        def darker(self):
            return self.value
    f = lambda line: Colour.RED.darker()
"""
HELPER = (
    ("helper.py", "LIMIT = 1\ndef clean(x):\n    return deep(x)\ndef deep(x):\n    return x + LIMIT\n"),
)
OTHER_HELPER = (("helper.py", HELPER[0][1].replace("x + LIMIT", "x - LIMIT")),)
OTHER_LIMIT = (("helper.py", HELPER[0][1].replace("LIMIT = 1", "LIMIT = 2")),)
MORE_HELPER = (("helper.py", "# a comment\n\n" + HELPER[0][1] + "def unused():\n    return 3\n"),)
PACKAGE = (("shop/__init__.py", ""), ("shop/tax.py", "def due(x):\n    return x * 2\n"))
OTHER_PACKAGE = (("shop/__init__.py", ""), ("shop/tax.py", "def due(x):\n    return x * 3\n"))

SAME = [
    Case(
        "moved lines",
        "def f(x):\n    return x + 1\n",
        "\n\n\nimport os\n\ndef f(x):\n\n    return (x\n  + 1)\n",
    ),
    Case("comments", "def f(x):\n    return x + 1\n", "def f(x):  # adds\n    # one\n    return x + 1\n"),
    Case("a docstring", "def f(x):\n    x += 1\n", 'def f(x):\n    "Add."\n    x += 1\n'),
    Case("another docstring", 'def f(x):\n    "A"\n    return "a"\n', 'def f(x):\n    "B"\n    return "a"\n'),
    Case(
        "annotations",
        "def f(x, *, y=1):\n    return x\n",
        "def f(x: int, *, y: int = 1) -> int:\n    return x\n",
    ),
    Case("another name", "def f(x):\n    return x\n", "def g(x):\n    return x\nf = g\n"),
    Case("unused globals", "A = 1\ndef f(x):\n    return x.B\n", "A = 2\nB = 3\ndef f(x):\n    return x.B\n"),
    Case(
        "a frozenset",
        "def f(x):\n    return x in {'a', 'b', 'c'}\n",
        "def f(x):\n    return x in {'c', 'b', 'a'}\n",
    ),
    Case(
        "a set",
        "S = {'a', 'b', 'c'}\ndef f(x):\n    return x in S\n",
        "S = set('cba')\ndef f(x):\n    return x in S\n",
    ),
    Case(
        "interned",
        "S = ('ab', 'ab')\ndef f(x):\n    return S\n",
        "S = ('ab', 'a' + str('b'))\ndef f(x):\n    return S\n",
    ),
    Case("a copy", "A = [1]\nB = [A, A, len]\nf = lambda: B\n", "B = [[1], [1], len]\nf = lambda: B\n"),
    Case("lambda", "f = lambda x: x + 1\n", "f = (\n  lambda x: x + 1)\n"),
    Case(
        "recursion",
        "def f(n):\n    return n and f(n - 1)\n",
        "# moved\ndef f(n):\n    return n and f(n - 1)\n",
    ),
    Case(
        "a future that changes no function",
        "def f(x):\n    return x\n",
        "from __future__ import annotations\ndef f(x):\n    return x\n",
    ),
    Case(
        "annotations of a cached function",
        "from functools import cache\n@cache\ndef f(x):\n    return x\n",
        "from functools import cache\n@cache\ndef f(x: int) -> int:\n    return x\n",
    ),
    Case(
        "a set that has no canonical bytes",
        "S = {(name, len) for name in 'abcdefgh'}\nf = lambda: S\n",
        "S = {(name, len) for name in 'hgfedcba'}\nf = lambda: S\n",
    ),
    Case("mutual recursion", ODD_EVEN, ODD_EVEN.replace("f = even", "\n\n    f = even")),
    Case("a class", CLASS, CLASS.replace("A cart.", "Some cart.").replace("costs", "is to pay")),
    Case(
        "order of methods",
        "class A:\n    def a(self): 1\n    def b(self): 2\nf = A()\n",
        "class A:\n    def b(self): 2\n    def a(self): 1\nf = A()\n",
    ),
    Case(
        "order of attributes",
        "class A: pass\nf = A()\nf.a = 1\nf.b = 2\n",
        "class A: pass\nf = A()\nf.b = 2\nf.a = 1\n",
    ),
    Case("a dataclass", DATACLASS, "\n\n\n" + DATACLASS),
    Case("an enum", ENUM, "\n\n\n" + ENUM),
    Case(
        "a closure",
        "def g(n):\n    def f(x):\n        return x + n\n    return f\nf = g(1)\n",
        "def other(n):\n    k = n\n    def f(x):\n        return x + n\n    return f\nf = other(1)\n",
    ),
    Case(
        "a module beside",
        "import helper\ndef f(x):\n    return helper.clean(x)\n",
        "import helper\ndef f(x):\n    return helper.clean(x)\n",
        HELPER,
        MORE_HELPER,
    ),
    Case(
        "imported when it runs",
        "def f(x):\n    import helper\n    return helper.clean(x)\n",
        "def f(x):\n    import helper\n    return helper.clean(x)\n",
        HELPER,
        (("helper.py", "# moved\n" + HELPER[0][1]),),
    ),
    Case(
        "a lock",
        "import threading\nL = threading.Lock()\ndef f(x):\n    return L\n",
        "import threading\nL = threading.Lock()\nL.acquire()\ndef f(x):\n    return L\n",
    ),
    Case(
        "a cached function",
        "from functools import cache\n@cache\ndef g(x):\n    'A'\n    return x\nf = lambda x: g(x)\n",
        "from functools import cache\n@cache\ndef g(x):\n    'B'\n    return x\nf = lambda x: g(x)\ng(1)\n",
    ),
]

GLOBAL = "N = 1\ndef f(x):\n    return x + N\n"
TWO_DOWN = "def b(x):\n    return x + 1\ndef a(x):\n    return b(x)\ndef f(x):\n    return a(x)\n"
INHERITED = "class B:\n    def g(self): return 1\nclass A(B): pass\ndef f(x):\n    return A().g()\n"
WRAPPED = """
    import functools
    def twice(g):
        @functools.wraps(g)
        def inner(x):
            return g(g(x))
        return inner
    @twice
    def f(x):
        return x + 1
"""
LIBRARY = """
    from contextlib import contextmanager
    @contextmanager
    def opened(x):
        yield x + 1
    def f(x):
        with opened(x) as y:
            return y
"""


def changed(name: str, one: str, before: str, after: str) -> Case:
    assert before in one
    return Case(name, one, one.replace(before, after))


CHANGED = [
    changed("a constant", "def f(x):\n    return x + 1\n", "1", "2"),
    changed("a constant's type", "def f(x):\n    return x + 1\n", "1", "True"),
    changed("a zero's sign", "def f(x):\n    return x * 0.0\n", "0.0", "-0.0"),
    changed("an operator", "def f(x):\n    return x + 1\n", "+", "-"),
    changed("a method's name", "def f(x):\n    return x.upper()\n", "upper", "lower"),
    changed(
        "what is caught",
        "def f(x):\n    try:\n        g(x)\n        h(x)\n    except OSError:\n        k(x)\n",
        "        g(x)\n        h(x)\n    except",
        "        g(x)\n    except",
    ),
    Case(
        "a docstring that is returned",
        "def f():\n    'a'\n    return 'a'\n",
        "def f():\n    'b'\n    return 'b'\n",
    ),
    Case("words in a comprehension", "f = lambda x: ['a' for y in x]\n", "f = lambda x: ['b' for y in x]\n"),
    changed("a default", "def f(x, n=1):\n    return x + n\n", "n=1", "n=2"),
    changed("a keyword's default", "def f(x, *, n=1):\n    return x + n\n", "n=1", "n=2"),
    changed("a parameter's kind", "def f(x, n=1):\n    return x + n\n", "x, n", "x, /, n"),
    changed("a generator", "def f(x):\n    return x\n", "return", "yield"),
    changed("a closure's value", "def g(n):\n    return lambda x: x + n\nf = g(1)\n", "g(1)", "g(2)"),
    changed("a global", GLOBAL, "N = 1", "N = 2"),
    changed(
        "a global in a lambda", "N = 1\ndef f(x):\n    return map(lambda y: y + N, x)\n", "N = 1", "N = 2"
    ),
    changed(
        "a global in a class in a function",
        "N = 1\ndef f(x):\n    class A:\n        n = N\n    return A.n\n",
        "N = 1",
        "N = 2",
    ),
    changed("a global's order", "N = ('a', 'b')\ndef f(x):\n    return N\n", "'a', 'b'", "'b', 'a'"),
    changed("a dict's order", "N = {1: 2, 3: 4}\ndef f(x):\n    return N\n", "1: 2, 3: 4", "3: 4, 1: 2"),
    changed("a helper", TWO_DOWN, "return b(x)", "return b(b(x))"),
    changed("a helper two down", TWO_DOWN, "x + 1", "x + 2"),
    changed("a wrapped function", WRAPPED, "x + 1", "x + 2"),
    changed("a wrapper", WRAPPED, "g(g(x))", "g(x)"),
    changed("a function wrapped by a library", LIBRARY, "x + 1", "x + 2"),
    changed(
        "a cached function",
        "from functools import cache\n@cache\ndef g(x):\n    return x + 1\nf = lambda x: g(x)\n",
        "1",
        "2",
    ),
    changed("recursion", "def f(n):\n    return n and f(n - 1)\n", "n - 1", "n - 2"),
    changed("mutual recursion", ODD_EVEN, "n != 0", "n != 1"),
    changed("who of two calls each other", ODD_EVEN, "f = even", "f = odd"),
    changed("a method", CLASS, "self.n * self.tax", "self.n + self.tax"),
    changed("a class's attribute", CLASS, "tax = 2", "tax = 3"),
    changed(
        "an instance's attribute",
        "class A:\n    def __init__(self, n):\n        self.n = n\n    def __call__(self, x):\n"
        "        return x + self.n\nf = A(1)\n",
        "A(1)",
        "A(2)",
    ),
    changed(
        "a bound method",
        "class A:\n    def a(self, x): return 1\n    def b(self, x): return 1\nf = A().a\n",
        "A().a",
        "A().b",
    ),
    changed(
        "set-up",
        "class A:\n    def setup(self, ctx): self.n = 1\n    def __call__(self, x): return self.n\nf = A()\n",
        "self.n = 1",
        "self.n = 2",
    ),
    changed("a slot", "class A:\n    __slots__ = ('n',)\nf = A()\nf.n = 1\n", "f.n = 1", "f.n = 2"),
    changed("a base class", INHERITED, "return 1", "return 2"),
    changed("another base class", INHERITED, "class A(B)", "class A(B, dict)"),
    changed(
        "a property",
        "class A:\n    @property\n    def n(self): return 1\ndef f(x):\n    return A().n\n",
        "return 1",
        "return 2",
    ),
    changed(
        "a static method",
        "class A:\n    @staticmethod\n    def n(): return 1\nf = lambda x: A.n()\n",
        "return 1",
        "return 2",
    ),
    changed(
        "a class method",
        "class A:\n    @classmethod\n    def n(cls): return 1\nf = lambda x: A.n()\n",
        "return 1",
        "return 2",
    ),
    changed("a dataclass's default", DATACLASS, "size: int = 0", "size: int = 1"),
    changed(
        "the order of fields",
        DATACLASS,
        "size: int = 0\n        tags: list = field(default_factory=list)",
        "tags: list = field(default_factory=list)\n        size: int = 0",
    ),
    changed(
        "a made dataclass",
        "from dataclasses import make_dataclass\nP = make_dataclass('P', ['a'])\nf = lambda: P(1)\n",
        "['a']",
        "['a', 'b']",
    ),
    changed(
        "a named tuple",
        "from collections import namedtuple\nP = namedtuple('P', 'a b')\nf = lambda x: P(1, 2)\n",
        "a b",
        "a c",
    ),
    changed("an enum's value", ENUM, "RED = 1", "RED = 3"),
    changed("an enum's method", ENUM, "return self.value", "return self.name"),
    changed("an enum's member", ENUM, "Colour.RED", "Colour.BLUE"),
    changed("a regex", "import re\nR = re.compile('a')\nf = lambda x: R.match(x)\n", "'a'", "'b'"),
    changed(
        "a regex's flags", "import re\nR = re.compile('a')\nf = lambda x: R.match(x)\n", "'a'", "'a', re.I"
    ),
    changed(
        "a regex's bound method", "import re\nm = re.compile('a').match\nf = lambda x: m(x)\n", "'a'", "'b'"
    ),
    changed("a partial", "from functools import partial\nf = partial(print, 1)\n", "1", "2"),
    changed("an itemgetter", "from operator import itemgetter\nf = itemgetter(1)\n", "1", "2"),
    changed("a mark", "from mapreduce import blocks\n@blocks\ndef f(x):\n    return x\n", "@blocks", ""),
    changed(
        "another function of a library",
        "from os.path import join as g\nf = lambda x: g(x)\n",
        "import join",
        "import split",
    ),
    changed("a path", "from pathlib import Path\nP = Path('a')\nf = lambda x: P\n", "'a'", "'b'"),
    changed(
        "an ordinary dict's class",
        "from collections import *\nD = OrderedDict(a=1)\nf = lambda x: D\n",
        "OrderedDict",
        "Counter",
    ),
    changed("a set of classes", "S = {KeyError, OSError}\nf = lambda x: S\n", "OSError", "IndexError"),
    changed("a set's class", "class S(set): pass\nX = S('abc')\nf = lambda x: X\n", "'abc'", "'abd'"),
    *(
        Case(f"{how}: {what}", text, text, HELPER, other)
        for how, text in {
            "a module beside": "import helper\ndef f(x):\n    return helper.clean(x)\n",
            "a function of a module beside": "from helper import clean\ndef f(x):\n    return clean(x)\n",
            "in a closure": "def g():\n    import helper\n    return lambda x: helper.clean(x)\nf = g()\n",
            "imported when it runs": "def f(x):\n    import helper\n    return helper.clean(x)\n",
            "a name imported as it runs": "def f(x):\n    from helper import clean\n    return clean(x)\n",
        }.items()
        for what, other in {"its helper": OTHER_HELPER, "its global": OTHER_LIMIT}.items()
    ),
    *(
        Case(f"a package beside, {how}", text, text, PACKAGE, OTHER_PACKAGE)
        for how, text in {
            "imported": "import shop.tax\ndef f(x):\n    return shop.tax.due(x)\n",
            "imported by name": "import shop.tax as t\ndef f(x):\n    return t.due(x)\n",
            "imported when it runs": "def f(x):\n    import shop.tax as t\n    return t.due(x)\n",
            "taken from it when it runs": "def f(x):\n    from shop import tax\n    return tax.due(x)\n",
            "imported two down": "def g(x):\n    from shop import tax\n    return tax.due(x)\nf = [g]\n",
            "relative": "__package__ = 'shop'\ndef f(x):\n    from . import tax\n    return tax.due(x)\n",
            "relative name": "__package__ = 'shop'\ndef f(x):\n    from .tax import due\n    return due(x)\n",
        }.items()
    ),
]
