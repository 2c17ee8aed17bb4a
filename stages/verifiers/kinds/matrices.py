r"""Matrices as answers write them, and determinants, which look like matrices and are numbers."""

import re

from stages.verifiers.formulas.arithmetic import identical
from stages.verifiers.formulas.expressions import Node, Unreadable, symbols
from stages.verifiers.formulas.grammar import parse
from stages.verifiers.kinds.renaming import with_number
from stages.verifiers.kinds.values import Matrix, Quantity, Read, Sequence, Value
from stages.verifiers.spelling import splitting

MATRIX = re.compile(
    r"\(?\[?\\begin\{([pbvBV]?matrix|array|cases|aligned)\}(?:\{[lcr|]+\})?(.*)\\end\{\1\}\]?\)?"
)
SCALED = re.compile(r"([^=<>\s|]{1,60}) ?(?:\\cdot|\\times)? ?(\\begin\{[pbvBV]?matrix\}.*)")
DETERMINANT = re.compile(
    r"\|\s*\\begin\{([pbB]?matrix|array)\}(?:\{[lcr|]+\})?(.*)\\end\{\1\}\s*\|"
    r"|(?:\\det|det)\s*\(?\s*\\begin\{([pbB]?matrix)\}(.*)\\end\{\3\}\s*\)?"
)
ROW_END = re.compile(r"\\\\")
LARGEST = 5
"""Rows of a determinant that is worked out: its terms are as many as the factorial of that."""


def read_matrix(text: str, read: Read) -> Value | None:
    """A matrix, a determinant or a system of equations; None where the text is none of them."""
    if text.count("\\begin") != 1:
        return None
    if match := DETERMINANT.fullmatch(text):
        return _determinant(_cells(match[2] or match[4], read))
    if match := MATRIX.fullmatch(text):
        kind, body = match[1], match[2]
        if kind in ("cases", "aligned"):
            return Sequence(tuple(read(row.replace("&", "")) for row in _rows(body)))
        cells = _cells(body, read)
        return _determinant(cells) if kind == "vmatrix" else Matrix(cells)
    if match := SCALED.fullmatch(text):
        return _times(match[1], read(match[2]))
    return None


def _rows(body: str) -> list[str]:
    return [row for row in splitting.cut(body, ROW_END)[0] if row.strip()]


def _cells(body: str, read: Read) -> tuple[tuple[Value, ...], ...]:
    return tuple(tuple(read(cell.strip()) for cell in row.split("&")) for row in _rows(body))


def _determinant(cells: tuple[tuple[Value, ...], ...]) -> Quantity | None:
    """The determinant of a square of formulas, as a formula; None: it is none, or too large."""
    nodes = [[cell.node for cell in row if isinstance(cell, Quantity)] for row in cells]
    size = len(cells)
    if not 0 < size <= LARGEST or any(len(row) != size for row in (*nodes, *cells)):
        return None
    return Quantity(_expanded(nodes))


def _expanded(rows: list[list[Node]]) -> Node:
    """A determinant expanded along its first row."""
    first, *below = rows
    total: Node | None = None
    for column, entry in enumerate(first):
        term = entry
        if below:
            minor = [row[:column] + row[column + 1 :] for row in below]
            term = Node("*", "", (entry, _expanded(minor)))
        if total is not None:
            term = Node("-" if column % 2 else "+", "", (total, term))
        total = term
    assert total is not None
    return total


def _times(factor: str, matrix: Value) -> Value | None:
    """A matrix or determinant with a factor in front; None where the factor is none."""
    try:
        node = parse(factor)
    except Unreadable:
        return None
    if isinstance(matrix, Quantity):
        return Quantity(Node("*", "", (node, matrix.node)))
    if not isinstance(matrix, Matrix):
        return None
    rows = [[cell for cell in row if isinstance(cell, Quantity)] for row in matrix.rows]
    if [len(row) for row in rows] != [len(row) for row in matrix.rows]:
        return None
    return Matrix(
        tuple(tuple(Quantity(Node("*", "", (node, cell.node))) for cell in row) for row in rows)
    )


def scaled_identity(node: Node, size: int) -> Matrix | None:
    """`2I`, or `O` for zero, as a matrix; None: it is neither."""
    names = symbols(node)
    if node == Node("number", "0") or names == {"O"}:
        factor = Node("number", "0")
    elif len(names) == 1 and names <= {"I", "E", f"I_{size}", f"E_{size}"}:
        factor = with_number(node, next(iter(names)), "1")
        if not identical(node, Node("*", "", (factor, Node("symbol", next(iter(names)))))):
            return None
    else:
        return None
    zero = Quantity(Node("number", "0"))
    rows = [[Quantity(factor) if at == row else zero for at in range(size)] for row in range(size)]
    return Matrix(tuple(map(tuple, rows)))


def as_rows(value: Sequence) -> Matrix | None:
    """A list of lists as a matrix; None where it is none."""
    rows = [item.items for item in value.items if isinstance(item, Sequence) and item.opening]
    if len(rows) < 2 or len(rows) != len(value.items) or len({len(row) for row in rows}) > 1:
        return None
    return Matrix(tuple(rows))
