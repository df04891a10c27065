"""Tells people what happened: by a webhook, by e-mail."""

from serving.notify.channels import Channel, Mail, NotifyError, Webhook
from serving.notify.notifier import notify

__all__ = ["Channel", "Mail", "NotifyError", "Webhook", "notify"]
