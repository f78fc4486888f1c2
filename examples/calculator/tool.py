# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The calculator as a tool of verl's tool agent loop: `actor_rollout_ref.rollout.multi_turn.function_tool_path`."""

import ast
import operator
from collections.abc import Callable

from verl.tools.function_tool import function_tool

OPERATIONS: dict[type, Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}
LONGEST = 40
"""Characters of an expression."""


@function_tool
def calculate(expression: str) -> str:
    """Work out an arithmetic expression of whole numbers.

    Args:
        expression: numbers with +, - and * between them, such as 7*2+1.
    """
    return evaluate(expression)


def evaluate(expression: str) -> str:
    """The value of an expression as text, or what is wrong with it: the policy reads either."""
    if len(expression) > LONGEST:
        return "error: the expression is too long"
    try:
        return str(_value(ast.parse(expression.strip(), mode="eval").body))
    except (ArithmeticError, SyntaxError, ValueError):
        return "error: that is no arithmetic expression"


def _value(node: ast.expr) -> int:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand)
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATIONS:
        return OPERATIONS[type(node.op)](_value(node.left), _value(node.right))
    raise ValueError("another kind of expression")
