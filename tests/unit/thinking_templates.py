# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Chat templates that treat thoughts as those of well-known models do, and no more than that."""

TAGS = ("<think>", "</think>")

_TURNS = "{%- for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{%- endfor %}"

QWEN25 = (
    "{%- if messages[0].role != 'system' %}{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}"
    "{%- endif %}" + _TURNS + "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{%- endif %}"
)
"""A system prompt of its own; no thoughts."""

QWEN3 = (
    "{%- set ns = namespace(last=-1) %}"
    "{%- for m in messages %}{%- if m.role == 'user' %}{%- set ns.last = loop.index0 %}{%- endif %}{%- endfor %}"
    "{%- for m in messages %}{%- set said = m.content %}{%- set thought = '' %}"
    "{%- if m.role == 'assistant' and '</think>' in said %}"
    "{%- set thought = said.split('</think>')[0].split('<think>')[-1].strip('\\n') %}"
    "{%- set said = said.split('</think>')[-1].lstrip('\\n') %}{%- endif %}"
    "{{ '<|im_start|>' + m.role + '\\n' }}"
    "{%- if m.role == 'assistant' and loop.index0 > ns.last and (loop.last or thought) %}"
    "{{ '<think>\\n' + thought + '\\n</think>\\n\\n' }}{%- endif %}"
    "{{ said + '<|im_end|>\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{ '<think>\\n\\n</think>\\n\\n' }}{%- endif %}"
    "{%- endif %}"
)
"""Earlier turns lose their thoughts, the last answer gets one although empty. `enable_thinking=false` closes one."""

HYBRID = (
    "{%- set enable_thinking = enable_thinking | default(true) %}" + _TURNS + "{%- if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\\n<think>\\n' + ('' if enable_thinking else '\\n</think>\\n\\n') }}{%- endif %}"
)
"""The prompt opens a thought unless `enable_thinking=false`, as with Qwen3.5."""

DEEPSEEK_R1 = (
    "{%- for m in messages %}{%- if m.role == 'assistant' %}"
    "{{ '<|im_start|>assistant\\n' + m.content.split('</think>')[-1] + '<|im_end|>' }}"
    "{%- else %}{{ '<|im_start|>user\\n' + m.content }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n' }}{%- endif %}"
)
"""The prompt opens a thought, whatever the options."""

PICKY = (
    "{%- if enable_thinking is defined and enable_thinking is not boolean %}"
    "{{ raise_exception('enable_thinking must be true or false') }}{%- endif %}" + QWEN25
)
"""Refuses an option that it knows."""
