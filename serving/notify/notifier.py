"""Sends a message to everybody whom the environment names."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from serving.notify.channels import Channel, Mail, NotifyError, Webhook

CHANNELS: Mapping[str, Callable[[str], Channel]] = {
    "LOOMLINE_WEBHOOK_URL": Webhook,
    "LOOMLINE_SMTP_URL": Mail,
}


def notify(text: str, environment: Mapping[str, str] | None = None) -> list[str]:
    """Sends a message by every channel that is set up; nobody's work stops for one that fails.

    Args:
        text: the message; its first line is the subject of an e-mail.
        environment: variables; those of the process by default.

    Returns:
        What went wrong, a line each.
    """
    problems = []
    for variable, channel in CHANNELS.items():
        url = (os.environ if environment is None else environment).get(variable)
        if not url:
            continue
        try:
            channel(url).send(text)
        except NotifyError as error:
            problems.append(f"not notified: {error}")
    return problems
