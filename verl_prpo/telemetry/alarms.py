# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Alarms: which of `verl_prpo.telemetry.alarm_rules` hold in a run, and when that is reported.

This is pure logic: the trainer hands in metrics and prints the lines.
"""

from collections.abc import Mapping

from verl_prpo.settings.prpo import PrpoConfig
from verl_prpo.telemetry.alarm_rules import RULES, Window, half_weight

PAGE = "docs/metrics.md"


class Alarms:
    """Watches a run, from its start or from where it was resumed.

    Attributes:
        sounding: names of the alarms whose rule holds at the last step, whether a line was returned or not.
    """

    def __init__(self, settings: PrpoConfig):
        self.sounding: list[str] = []
        self._settings = settings
        self._window = Window(settings.alarm_window)
        self._silent: dict[str, tuple[int, int]] = {}  # until which step, for how many the next time
        self._weighed = False

    def observe(self, step: int, metrics: Mapping[str, float]) -> list[str]:
        """Take in a step's metrics, and return the alarms to print.

        Args:
            step: its number.
            metrics: as verl logs them. A metric that is absent sounds no alarm.

        Returns:
            Lines to print: one for each alarm that sounds and was not reported of late. The same alarm is reported
            again after a window at the earliest, and after twice as many steps each time. `half_weight` needs one step
            alone and is reported once.
        """
        lines = []
        self.sounding = []
        if half := half_weight(metrics, self._settings):
            self.sounding.append("half_weight")
            if not self._weighed:
                self._weighed = True
                lines.append(f"ALARM half_weight, step {step}: {half} See {PAGE}.")
        self._window.add(step, metrics)
        if not self._window.full:
            return lines
        found = {name: rule(self._window, self._settings) for name, rule in RULES.items()}
        trends = [name for name, line in found.items() if line is not None]
        self.sounding += trends
        for name in trends:
            until, pause = self._silent.get(name, (step, self._settings.alarm_window))
            if step >= until:
                self._silent[name] = (step + pause, 2 * pause)
                again = f"This alarm is not repeated before step {step + pause}."
                lines.append(f"ALARM {name}, {self._window.span}: {found[name]} See {PAGE}. {again}")
        return lines
