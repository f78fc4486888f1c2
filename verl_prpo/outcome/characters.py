# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Characters for which LaTeX has a command."""

import re

_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho varsigma sigma tau "
    "upsilon phi chi psi omega".split()
)
_CAPITALS = {"Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi", "Σ": "Sigma", "Φ": "Phi"}

COMMANDS = str.maketrans(
    {
        **{chr(ord("α") + at): rf"\{name} " for at, name in enumerate(_GREEK)},
        **{character: rf"\{name} " for character, name in _CAPITALS.items()},
        "Ψ": r"\Psi ",
        "Ω": r"\Omega ",
        "ϵ": r"\epsilon ",
        "ϑ": r"\theta ",
        "ϱ": r"\rho ",
        "º": r"^\circ ",
        "˚": r"^\circ ",
        "∘": r"\circ ",
        "⩽": r"\le ",
        "⩾": r"\ge ",
        "≦": r"\le ",
        "≧": r"\ge ",
        "∶": ":",
        "⁄": "/",
        "⅕": r"\frac{1}{5}",
        "⅖": r"\frac{2}{5}",
        "⅗": r"\frac{3}{5}",
        "⅘": r"\frac{4}{5}",
        "⅙": r"\frac{1}{6}",
        "⅚": r"\frac{5}{6}",
        "⅛": r"\frac{1}{8}",
        "⅜": r"\frac{3}{8}",
        "⅝": r"\frac{5}{8}",
        "⅞": r"\frac{7}{8}",
        "ϕ": r"\phi ",
        "−": "-",
        "–": "-",
        "‐": "-",
        "‑": "-",
        "×": r"\times ",
        "·": r"\cdot ",
        "⋅": r"\cdot ",
        "∗": "*",
        "÷": r"\div ",
        "∞": r"\infty ",
        "∪": r"\cup ",
        "∩": r"\cap ",
        "∖": r"\setminus ",
        "∈": r"\in ",
        "∉": r"\notin ",
        "≤": r"\le ",
        "≥": r"\ge ",
        "≠": r"\neq ",
        "≈": r"\approx ",
        "≃": r"\approx ",
        "±": r"\pm ",
        "∓": r"\mp ",
        "∨": r"\lor ",
        "∧": r"\land ",
        "¬": r"\neg ",
        "∂": r"\partial ",
        "∫": r"\int ",
        "∑": r"\sum ",
        "∠": r"\angle ",
        "°": r"^\circ ",
        "′": "'",
        "’": "'",
        "″": "''",
        "ℝ": r"\mathbb{R}",
        "ℤ": r"\mathbb{Z}",
        "ℕ": r"\mathbb{N}",
        "ℚ": r"\mathbb{Q}",
        "ℂ": r"\mathbb{C}",
        "⟨": r"\langle ",
        "⟩": r"\rangle ",
        "…": r"\ldots ",
        "→": r"\to ",
        "⊤": r"\top ",
        "\u00a0": " ",
        "\u2009": " ",
        "\u202f": " ",
        "\u200b": None,
        "\ufeff": None,
        "½": r"\frac{1}{2}",
        "⅓": r"\frac{1}{3}",
        "⅔": r"\frac{2}{3}",
        "¼": r"\frac{1}{4}",
        "¾": r"\frac{3}{4}",
    }
)
FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
SUPERSCRIPT = re.compile(r"⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
SUBSCRIPT = re.compile(r"[₀₁₂₃₄₅₆₇₈₉]+")
_RAISED_AND_LOWERED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻₀₁₂₃₄₅₆₇₈₉", "0123456789-0123456789")


def plain(text: str) -> str:
    """Write superscripts and subscripts as ordinary digits."""
    return text.translate(_RAISED_AND_LOWERED)
